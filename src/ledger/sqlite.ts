/**
 * `sqlite:///path`, and `memory:` for one that ends with the process. One file; several processes of one machine may
 * share it. Example: `sqlite:///var/lib/webdist/ledger.sqlite`. Needs write permission for the file's folder.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import {
  decide,
  type InstallEvidence,
  isCounting,
  type Ledger,
  type LedgerOptions,
  type SubjectEntry,
} from './contract.ts';
import { TOKEN_MEMORY_SECONDS } from './rule.ts';
import { openCheckpoints } from './sqlite-checkpoints.ts';
import { inTransaction, MEMORY, openSqliteFile, pathOf, whileBusy } from './sqlite-file.ts';

/**
 * How long to try again while another process holds the lock. SQLite's own waiting would stop the event loop, and with
 * it every request that needs no ledger.
 */
const LOCKED_MS = 150;
const RETRY_MS = 2;

/** Rows deleted at once: more would hold the lock, and the event loop, for too long. */
const PRUNED_AT_ONCE = 500;

/** Opens the file, makes or migrates its tables. Throws `state_invalid`. */
export async function openSqlite(url: string, options: LedgerOptions): Promise<Ledger> {
  const database = await openSqliteFile(url);
  const sql = prepare(database);
  const checkpoints = pathOf(url) === MEMORY ? undefined : openCheckpoints(pathOf(url));
  return {
    record(entries) {
      checkpoints?.due();
      return answer(() => inTransaction(database, () => entries.map((entry) => recordOne(sql, entry, options))));
    },
    confirm: (evidence, atSeconds) =>
      answer(() =>
        inTransaction(database, () => {
          for (const one of evidence) confirmOne(sql, one, atSeconds);
        }),
      ),
    export: (subject) => answer(() => exportOne(sql, bytes(subject))),
    async forget(subject) {
      // To find a subject's tokens takes reading them all; that is done before anybody has to wait for the lock.
      const nonces = await answer(() => sql.tokensOf.all(bytes(subject)).map((row) => row['nonce'] as Uint8Array));
      return answer(() =>
        inTransaction(database, () => {
          for (const nonce of nonces) sql.forgetToken.run(nonce);
          return Number(sql.forgetInstalls.run(bytes(subject)).changes);
        }),
      );
    },
    stats: () =>
      answer(() => ({
        installs: Number(sql.countInstalls.get()?.['n']),
        tokens: Number(sql.countTokens.get()?.['n']),
      })),
    async prune(nowSeconds) {
      await pruneOlder(sql.pruneTokens, nowSeconds - TOKEN_MEMORY_SECONDS);
      if (options.retentionDays > 0) await pruneOlder(sql.pruneInstalls, nowSeconds - options.retentionDays * 86_400);
    },
    ping: () => answer(() => void sql.ping.get()),
    async close() {
      await checkpoints?.close();
      database.close();
    },
  };
}

function prepare(database: DatabaseSync) {
  const statement = (text: string): StatementSync => database.prepare(text);
  return {
    installedAt: statement('SELECT installed_at FROM install WHERE subject = ? AND apple_item_id = ?'),
    addToken: statement(
      'INSERT INTO install_token (nonce, subject, apple_item_id, issued_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    addInstall: statement(
      'INSERT INTO install (subject, apple_item_id, installed_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    confirmToken: statement(
      `INSERT INTO install (subject, apple_item_id, installed_at)
       SELECT subject, apple_item_id, ?2 FROM install_token WHERE nonce = ?1 AND (?3 IS NULL OR subject = ?3)
       ON CONFLICT DO NOTHING`,
    ),
    installsOf: statement('SELECT apple_item_id, installed_at FROM install WHERE subject = ? ORDER BY installed_at'),
    tokensOf: statement(
      'SELECT nonce, apple_item_id, issued_at FROM install_token WHERE subject = ? ORDER BY issued_at',
    ),
    forgetToken: statement('DELETE FROM install_token WHERE nonce = ?'),
    forgetInstalls: statement('DELETE FROM install WHERE subject = ?'),
    countInstalls: statement('SELECT count(*) AS n FROM install'),
    countTokens: statement('SELECT count(*) AS n FROM install_token'),
    pruneTokens: statement(
      `DELETE FROM install_token WHERE issued_at < ? AND rowid IN
         (SELECT rowid FROM install_token ORDER BY rowid LIMIT ${PRUNED_AT_ONCE})`,
    ),
    pruneInstalls: statement(
      `DELETE FROM install WHERE (subject, apple_item_id) IN
         (SELECT subject, apple_item_id FROM install WHERE installed_at < ? LIMIT ${PRUNED_AT_ONCE})`,
    ),
    ping: statement('SELECT 1 FROM install LIMIT 1'),
  };
}

type Statements = ReturnType<typeof prepare>;

function recordOne(sql: Statements, entry: SubjectEntry, options: LedgerOptions) {
  const [subject, { appleItemId }] = [bytes(entry.subject), entry.app];
  const installedAt = sql.installedAt.get(subject, appleItemId)?.['installed_at'];
  sql.addToken.run(nonceBytes(entry.nonce), subject, appleItemId, entry.issuedAtSeconds);
  if (isCounting(entry, options)) sql.addInstall.run(subject, appleItemId, entry.issuedAtSeconds);
  return decide(entry, installedAt === undefined ? undefined : Number(installedAt), options);
}

function confirmOne(sql: Statements, evidence: InstallEvidence, atSeconds: number): void {
  if ('nonce' in evidence)
    sql.confirmToken.run(
      nonceBytes(evidence.nonce),
      atSeconds,
      evidence.subject === undefined ? null : bytes(evidence.subject),
    );
  else sql.addInstall.run(bytes(evidence.subject), evidence.appleItemId, atSeconds);
}

function exportOne(sql: Statements, subject: Buffer) {
  return {
    installs: sql.installsOf.all(subject).map((row) => ({
      appleItemId: String(row['apple_item_id']),
      installedAtSeconds: Number(row['installed_at']),
    })),
    tokens: sql.tokensOf.all(subject).map((row) => ({
      nonce: nonceText(row['nonce'] as Uint8Array),
      appleItemId: String(row['apple_item_id']),
      issuedAtSeconds: Number(row['issued_at']),
    })),
  };
}

async function pruneOlder(statement: StatementSync, beforeSeconds: number): Promise<void> {
  while ((await answer(() => Number(statement.run(beforeSeconds).changes))) === PRUNED_AT_ONCE) await setImmediate();
}

/** The outcome of some work. Throws `ledger_unavailable`. */
async function answer<T>(work: () => T): Promise<T> {
  try {
    return await whileBusy({ forMs: LOCKED_MS, everyMs: RETRY_MS }, work);
  } catch (cause) {
    throw new WebdistError('ledger_unavailable', 'The SQLite ledger cannot answer.', { cause, retryAfterSeconds: 1 });
  }
}

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const nonceBytes = (nonce: string) => Buffer.from(nonce.replaceAll('-', ''), 'hex');
const nonceText = (nonce: Uint8Array) =>
  Buffer.from(nonce)
    .toString('hex')
    .toUpperCase()
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
