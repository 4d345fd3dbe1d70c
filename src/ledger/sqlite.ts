/**
 * `sqlite:///path`: one file, which several processes of one machine may share. `memory:` is a ledger that ends with
 * the process. Example: `sqlite:///var/lib/webdist/ledger.sqlite`. The process needs write permission for the file's
 * folder.
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import type { InstallRecord, Ledger, LedgerAddress } from './contract.ts';
import { installOf } from './install-row.ts';
import { inReadTransaction, inTransaction, openSqliteFile, whileBusy } from './sqlite-file.ts';
import { inMemory, intactFile } from './sqlite-intact.ts';

/**
 * How long to retry while another process holds the lock. SQLite's own waiting would block the event loop, and with it
 * requests that do not need the ledger.
 */
const LOCKED_MS = 150;
const RETRY_MS = 2;

/** Rows deleted by one statement. More would hold the lock, and block the event loop, for too long. */
const PRUNED_AT_ONCE = 500;

const READ_AT_ONCE = 1000;
const ALL_INSTALLS = 'SELECT subject, apple_item_id, installed_at, redownload_at FROM install';

/**
 * The heartbeat adds an install of this subject, which no device has, and removes it again, to prove that the files can
 * be written.
 */
const NO_SUBJECT = -1;

type Row = Readonly<Record<string, unknown>>;

/** Opens the file and creates its tables if it is new. Throws `state_invalid`. */
export async function openSqlite({ url }: LedgerAddress): Promise<Ledger> {
  const { database, path } = await openSqliteFile(url);
  const sql = prepare(database);
  const file = path === undefined ? inMemory : intactFile(path);
  const answer = async <T>(work: () => T): Promise<T> => {
    try {
      return await whileBusy({ forMs: LOCKED_MS, everyMs: RETRY_MS }, work);
    } catch (error) {
      throw file.explained(error);
    }
  };
  /** The installs of a subject, by AppleItemID. */
  const installsOf = (subject: number) =>
    new Map(
      sql.installsOf
        .all(subject)
        .map((row) => [
          String(row['apple_item_id']),
          { installedAtSeconds: Number(row['installed_at']), redownloadAtSeconds: Number(row['redownload_at']) },
        ]),
    );
  /** A write is acknowledged only if the file is still the one that the next start would open. */
  const write = <T>(work: () => T): Promise<T> =>
    answer(() => {
      file.check();
      const result = inTransaction(database, work);
      file.check();
      return result;
    });
  return {
    lookUp(entries) {
      const find = () => {
        // A device that restores looks up all of its apps at once. A statement for each of 100 takes 1.04 times as long.
        const read = new Map<number, ReturnType<typeof installsOf>>();
        return entries.map(({ subject, appleItemId }) => {
          const installs = read.get(subject) ?? installsOf(subject);
          read.set(subject, installs);
          return installs.get(appleItemId);
        });
      };
      // In a transaction, each of 42 lookups takes a fifth of the time. A single one would take longer.
      const work = entries.length > 1 ? () => inReadTransaction(database, find) : find;
      try {
        return work();
      } catch {
        // Another process holds the lock, or the file cannot be read: `answer` waits, or explains the error.
        return answer(work);
      }
    },
    addInstalls: (installs) =>
      write(() => {
        for (const { subject, appleItemId, installedAtSeconds, redownloadAtSeconds } of installs)
          sql.addInstall.run(subject, appleItemId, installedAtSeconds, redownloadAtSeconds);
      }),
    secretFingerprint: () =>
      answer(() => {
        const row = sql.fingerprint.get();
        return row && String(row['fingerprint']);
      }),
    keepSecretFingerprint: (fingerprint) => write(() => void sql.addFingerprint.run(fingerprint)),
    export: (subject) =>
      answer(() =>
        Array.from(installsOf(subject), ([appleItemId, { installedAtSeconds }]) => ({
          appleItemId,
          installedAtSeconds,
        })).sort((one, other) => one.installedAtSeconds - other.installedAtSeconds),
      ),
    forget: (subject) => write(() => Number(sql.forget.run(subject).changes)),
    stats: () => answer(() => ({ installs: Number(sql.count.get()?.['n']) })),
    async readAll(take) {
      try {
        const rows = path === undefined ? database.prepare(ALL_INSTALLS).all() : snapshotOf(path);
        for (const batch of batchesOf(rows)) await take(batch);
      } catch (error) {
        throw file.explained(error);
      }
    },
    async prune(beforeSeconds, atMost = Number.POSITIVE_INFINITY) {
      let pruned = 0;
      for (;;) {
        const limit = Math.min(PRUNED_AT_ONCE, atMost - pruned);
        const some = await write(() => Number(sql.prune.run(beforeSeconds, limit).changes));
        pruned += some;
        if (some < limit || pruned >= atMost) return pruned;
        await setImmediate();
      }
    },
    ping: () => answer(() => void sql.ping.get()),
    async beat() {
      await write(() => {
        sql.addInstall.run(NO_SUBJECT, '', 0, 0);
        sql.forget.run(NO_SUBJECT);
      });
      await answer(file.probe);
      return Date.now() / 1000;
    },
    async close() {
      database.close();
    },
  };
}

/** Returns all rows, through a separate connection: its transaction sees one state, and writers do not wait for it. */
function* snapshotOf(path: string): Generator<Row> {
  const own = new DatabaseSync(path, { readOnly: true });
  try {
    own.exec('BEGIN');
    yield* own.prepare(ALL_INSTALLS).iterate();
  } finally {
    own.close();
  }
}

function* batchesOf(rows: Iterable<Row>): Generator<readonly InstallRecord[]> {
  let batch: InstallRecord[] = [];
  for (const row of rows) {
    // The heartbeat's row, which exists only for a moment.
    if (row['subject'] === NO_SUBJECT) continue;
    batch.push(installOf(row));
    if (batch.length < READ_AT_ONCE) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function prepare(database: DatabaseSync) {
  const statement = (text: string): StatementSync => database.prepare(text);
  return {
    addInstall: statement(
      `INSERT INTO install (subject, apple_item_id, installed_at, redownload_at) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET installed_at = min(installed_at, excluded.installed_at),
           redownload_at = min(redownload_at, excluded.redownload_at)
         WHERE excluded.installed_at < installed_at OR excluded.redownload_at < redownload_at`,
    ),
    fingerprint: statement('SELECT fingerprint FROM secret'),
    addFingerprint: statement('INSERT INTO secret (fingerprint) VALUES (?) ON CONFLICT DO NOTHING'),
    installsOf: statement('SELECT apple_item_id, installed_at, redownload_at FROM install WHERE subject = ?'),
    forget: statement('DELETE FROM install WHERE subject = ?'),
    count: statement('SELECT count(*) AS n FROM install'),
    prune: statement(
      `DELETE FROM install WHERE (subject, apple_item_id) IN
         (SELECT subject, apple_item_id FROM install WHERE installed_at < ? LIMIT ?)`,
    ),
    ping: statement('SELECT 1 FROM install LIMIT 1'),
  };
}
