/**
 * `sqlite:///path`: one file, which several processes of one machine may share. `memory:` is a ledger that ends with
 * the process. Example: `sqlite:///var/lib/webdist/ledger.sqlite`. The process needs write permission for the file's
 * folder.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import type { Ledger, LedgerAddress } from './contract.ts';
import { inTransaction, openSqliteFile, whileBusy } from './sqlite-file.ts';

/**
 * How long to retry while another process holds the lock. SQLite's own waiting would block the event loop, and with it
 * requests that do not need the ledger.
 */
const LOCKED_MS = 150;
const RETRY_MS = 2;

/** Rows deleted by one statement. More would hold the lock, and block the event loop, for too long. */
const PRUNED_AT_ONCE = 500;

/** Opens the file and creates its tables if it is new. Throws `state_invalid`. */
export async function openSqlite({ url }: LedgerAddress): Promise<Ledger> {
  const database = await openSqliteFile(url);
  const sql = prepare(database);
  return {
    installedAt: (entries) =>
      answer(() =>
        entries.map(({ subject, appleItemId }) => {
          const row = sql.installedAt.get(subject, appleItemId);
          return row && Number(row['installed_at']);
        }),
      ),
    addInstalls: (installs) =>
      answer(() =>
        inTransaction(database, () => {
          for (const { subject, appleItemId, installedAtSeconds } of installs)
            sql.addInstall.run(subject, appleItemId, installedAtSeconds);
        }),
      ),
    secretFingerprint: () =>
      answer(() => {
        const row = sql.fingerprint.get();
        return row && String(row['fingerprint']);
      }),
    keepSecretFingerprint: (fingerprint) => answer(() => void sql.addFingerprint.run(fingerprint)),
    export: (subject) =>
      answer(() =>
        sql.installsOf.all(subject).map((row) => ({
          appleItemId: String(row['apple_item_id']),
          installedAtSeconds: Number(row['installed_at']),
        })),
      ),
    forget: (subject) => answer(() => Number(sql.forget.run(subject).changes)),
    stats: () => answer(() => ({ installs: Number(sql.count.get()?.['n']) })),
    async prune(beforeSeconds, atMost = Number.POSITIVE_INFINITY) {
      let pruned = 0;
      for (;;) {
        const limit = Math.min(PRUNED_AT_ONCE, atMost - pruned);
        const some = await answer(() => Number(sql.prune.run(beforeSeconds, limit).changes));
        pruned += some;
        if (some < limit || pruned >= atMost) return pruned;
        await setImmediate();
      }
    },
    ping: () => answer(() => void sql.ping.get()),
    // Takes the write lock without changing anything. This fails if the file cannot be written.
    beat: () => answer(() => inTransaction(database, () => Date.now() / 1000)),
    async close() {
      database.close();
    },
  };
}

function prepare(database: DatabaseSync) {
  const statement = (text: string): StatementSync => database.prepare(text);
  return {
    installedAt: statement('SELECT installed_at FROM install WHERE subject = ? AND apple_item_id = ?'),
    addInstall: statement(
      `INSERT INTO install (subject, apple_item_id, installed_at) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET installed_at = excluded.installed_at WHERE excluded.installed_at < installed_at`,
    ),
    fingerprint: statement('SELECT fingerprint FROM secret'),
    addFingerprint: statement('INSERT INTO secret (fingerprint) VALUES (?) ON CONFLICT DO NOTHING'),
    installsOf: statement('SELECT apple_item_id, installed_at FROM install WHERE subject = ? ORDER BY installed_at'),
    forget: statement('DELETE FROM install WHERE subject = ?'),
    count: statement('SELECT count(*) AS n FROM install'),
    prune: statement(
      `DELETE FROM install WHERE (subject, apple_item_id) IN
         (SELECT subject, apple_item_id FROM install WHERE installed_at < ? LIMIT ?)`,
    ),
    ping: statement('SELECT 1 FROM install LIMIT 1'),
  };
}

/** Runs work. Runs `work`; throws `ledger_unavailable` for any error. */
async function answer<T>(work: () => T): Promise<T> {
  try {
    return await whileBusy({ forMs: LOCKED_MS, everyMs: RETRY_MS }, work);
  } catch (cause) {
    throw new WebdistError('ledger_unavailable', 'The SQLite ledger cannot answer.', { cause, retryAfterSeconds: 1 });
  }
}
