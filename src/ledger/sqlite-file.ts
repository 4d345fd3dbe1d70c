/**
 * Opens the file of a SQLite ledger, checks that it is one, and migrates it to this version's schema. Every commit is on
 * the disk before it is acknowledged (WAL, synchronous=FULL).
 */

import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import { createPrivateFile } from '../file-lock.ts';
import { fileProblem, makeFolder } from '../file-problem.ts';
import { migrationsAfter } from './migrations.ts';

/** Each entry brings the schema from its index to the next version; never edit one that was released. */
const migrations = [
  `CREATE TABLE install (
     subject INTEGER NOT NULL, apple_item_id TEXT NOT NULL, installed_at INTEGER NOT NULL,
     PRIMARY KEY (subject, apple_item_id)) STRICT, WITHOUT ROWID;
   CREATE INDEX install_by_age ON install (installed_at);`,
  `CREATE TABLE secret (only_one INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_one = 1), fingerprint TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
  'ALTER TABLE install ADD COLUMN redownload_at INTEGER NOT NULL DEFAULT 0;',
];

/** "wdis". Marks the file as a ledger of webdist, so that webdist does not use the database of another program. */
const APPLICATION_ID = 0x77646973;

/** At start, other processes may be creating or migrating the same file. */
const STARTING_MS = 10_000;
const RETRY_MS = 20;

const SQLITE_BUSY = 5;

/** The low byte of SQLite's extended result code is the code itself. */
const isBusy = (error: unknown) => (Number((error as { errcode?: number }).errcode) & 0xff) === SQLITE_BUSY;

/**
 * Runs work, and runs it again for a while if another process holds the lock; does not block the event loop meanwhile.
 * Throws what the work throws.
 */
export async function whileBusy<T>(
  { forMs, everyMs }: { readonly forMs: number; readonly everyMs: number },
  work: () => T,
): Promise<T> {
  const giveUpAt = performance.now() + forMs;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error;
    }
    await setTimeout(everyMs * (0.5 + Math.random()));
  }
}

const MEMORY = ':memory:';

/** An open database, and the path of its file; undefined in memory. */
export type SqliteFile = { readonly database: DatabaseSync; readonly path: string | undefined };

/** Opens the file of `sqlite:///path`, or memory. Statements on it fail at once if another process holds the lock. Throws `state_invalid`. */
export async function openSqliteFile(url: string): Promise<SqliteFile> {
  const path = url === 'memory:' ? MEMORY : url.slice('sqlite://'.length);
  try {
    // SQLite itself waits for locks, but not for all of those that creating a file takes.
    const database = await whileBusy({ forMs: STARTING_MS, everyMs: RETRY_MS }, () => openOnce(path));
    return { database, path: path === MEMORY ? undefined : path };
  } catch (cause) {
    if (cause instanceof WebdistError) throw cause;
    const problem = fileProblem(cause, path, 'WEBDIST_LEDGER');
    if (problem) throw problem;
    throw new WebdistError('state_invalid', `The ledger ${path} cannot be opened.`, {
      hint: 'Check that its folder can be written to and that webdist created the file.',
      cause,
    });
  }
}

function openOnce(path: string): DatabaseSync {
  if (path !== MEMORY) {
    makeFolder(dirname(path), 0o700);
    createPrivateFile(path);
  }
  const database = new DatabaseSync(path, { timeout: STARTING_MS });
  try {
    migrate(database, path);
    database.exec('PRAGMA busy_timeout = 0');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string): void {
  if (!isOurs(database))
    throw new WebdistError('state_invalid', `${path} is a database of another program.`, {
      hint: 'Set WEBDIST_LEDGER to another file.',
    });
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  inTransaction(database, () => {
    const version = numberOf(database, 'user_version');
    for (const migration of migrationsAfter(version, migrations, path)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${migrations.length}; PRAGMA application_id = ${APPLICATION_ID}`);
  });
}

function isOurs(database: DatabaseSync): boolean {
  const isEmpty = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  return isEmpty || numberOf(database, 'application_id') === APPLICATION_ID;
}

const numberOf = (database: DatabaseSync, pragma: string) =>
  Number(database.prepare(`PRAGMA ${pragma}`).get()?.[pragma]);

/** Runs work as one transaction, all or nothing. Takes the write lock first, so that nothing changes between a read and a write. */
export const inTransaction = <T>(database: DatabaseSync, work: () => T): T => during('BEGIN IMMEDIATE', database, work);

/** Runs work that only reads: its statements take and release the read lock together. */
export const inReadTransaction = <T>(database: DatabaseSync, work: () => T): T => during('BEGIN', database, work);

function during<T>(begin: string, database: DatabaseSync, work: () => T): T {
  database.exec(begin);
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
