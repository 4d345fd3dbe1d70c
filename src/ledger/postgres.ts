/**
 * `postgres://…`, one ledger for any number of replicas. Example: `postgres://webdist@db.example.com/webdist?sslmode=verify-full`.
 * Needs a role that may create tables once, then select, insert and delete. A record is durable as the server's own
 * `synchronous_commit` has it (on, unless somebody turned it off).
 */

import { setImmediate } from 'node:timers/promises';
import { decide, isCounting, type Ledger, type LedgerOptions } from './contract.ts';
import { openPostgresDatabase, type PostgresDatabase } from './postgres-database.ts';
import { TOKEN_MEMORY_SECONDS } from './rule.ts';

/** Rows deleted at once: more would take longer than a statement may. */
const PRUNED_AT_ONCE = 1000;

/** Decides and remembers in one statement: what it selects is as it was before what it inserts. */
const RECORD = `
  WITH entry AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::boolean[])
      WITH ORDINALITY AS entry (nonce, subject, apple_item_id, issued_at, is_counting, position)
  ), remembered AS (
    INSERT INTO webdist_install_token (nonce, subject, apple_item_id, issued_at)
    SELECT nonce, subject, apple_item_id, issued_at FROM entry ON CONFLICT DO NOTHING
  ), counted AS (
    INSERT INTO webdist_install (subject, apple_item_id, installed_at)
    SELECT subject, apple_item_id, min(issued_at) FROM entry WHERE is_counting
      GROUP BY subject, apple_item_id ORDER BY subject, apple_item_id
    ON CONFLICT DO NOTHING
  )
  SELECT install.installed_at FROM entry LEFT JOIN webdist_install AS install USING (subject, apple_item_id)
    ORDER BY entry.position`;

/** Every row of evidence has a nonce, with a subject or none, or else an app and a subject. One order, so that none deadlock. */
const CONFIRM = `
  WITH evidence AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS evidence (nonce, subject, apple_item_id)
  ), counted AS (
    SELECT token.subject, token.apple_item_id FROM evidence JOIN webdist_install_token AS token USING (nonce)
      WHERE evidence.subject IS NULL OR evidence.subject = token.subject
    UNION
    SELECT subject, apple_item_id FROM evidence WHERE nonce IS NULL
  )
  INSERT INTO webdist_install (subject, apple_item_id, installed_at)
  SELECT subject, apple_item_id, $4 FROM counted ORDER BY subject, apple_item_id
  ON CONFLICT DO NOTHING`;

/** Replicas that prune at the same time take different rows. */
const pruneFrom = (table: string, time: string) => `
  DELETE FROM ${table} WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM ${table} WHERE ${time} < $1 LIMIT ${PRUNED_AT_ONCE} FOR UPDATE SKIP LOCKED)) RETURNING 1`;
const PRUNE_TOKENS = pruneFrom('webdist_install_token', 'issued_at');
const PRUNE_INSTALLS = pruneFrom('webdist_install', 'installed_at');

/** Opens the ledger of a `postgres://` URL; one that cannot be reached answers once it is back. Throws `config_invalid`, `state_invalid`. */
export async function openPostgres(url: string, options: LedgerOptions): Promise<Ledger> {
  const database = await openPostgresDatabase(url);
  const { query } = database;
  return {
    async record(entries) {
      const rows = await query(RECORD, [
        entries.map((entry) => entry.nonce),
        entries.map((entry) => entry.subject),
        entries.map((entry) => entry.app.appleItemId),
        entries.map((entry) => entry.issuedAtSeconds),
        entries.map((entry) => isCounting(entry, options)),
      ]);
      return entries.map((entry, index) => {
        const installedAt = rows[index]?.['installed_at'];
        return decide(entry, installedAt == null ? undefined : Number(installedAt), options);
      });
    },
    async confirm(evidence, atSeconds) {
      await query(CONFIRM, [
        evidence.map((one) => ('nonce' in one ? one.nonce : null)),
        evidence.map((one) => one.subject ?? null),
        evidence.map((one) => ('nonce' in one ? null : one.appleItemId)),
        atSeconds,
      ]);
    },
    export: (subject) => exportOne(database, subject),
    forget: (subject) =>
      database.transaction(async (inside) => {
        await inside('DELETE FROM webdist_install_token WHERE subject = $1', [subject]);
        return (await inside('DELETE FROM webdist_install WHERE subject = $1 RETURNING 1', [subject])).length;
      }),
    stats: () =>
      database.transaction(async (inside) => {
        const [row] = await inside(
          `SELECT (SELECT count(*) FROM webdist_install) AS installs, (SELECT count(*) FROM webdist_install_token) AS tokens`,
        );
        return { installs: Number(row?.['installs']), tokens: Number(row?.['tokens']) };
      }),
    async prune(nowSeconds) {
      await pruneOlder(database, PRUNE_TOKENS, nowSeconds - TOKEN_MEMORY_SECONDS);
      if (options.retentionDays > 0)
        await pruneOlder(database, PRUNE_INSTALLS, nowSeconds - options.retentionDays * 86_400);
    },
    ping: async () => void (await query('SELECT 1 FROM webdist_install LIMIT 1')),
    close: database.close,
  };
}

async function exportOne(database: PostgresDatabase, subject: string) {
  return database.transaction(async (query) => {
    const installs = await query(
      'SELECT apple_item_id, installed_at FROM webdist_install WHERE subject = $1 ORDER BY installed_at',
      [subject],
    );
    const tokens = await query(
      'SELECT nonce, apple_item_id, issued_at FROM webdist_install_token WHERE subject = $1 ORDER BY issued_at',
      [subject],
    );
    return {
      installs: installs.map((row) => ({
        appleItemId: String(row['apple_item_id']),
        installedAtSeconds: Number(row['installed_at']),
      })),
      tokens: tokens.map((row) => ({
        nonce: String(row['nonce']).toUpperCase(),
        appleItemId: String(row['apple_item_id']),
        issuedAtSeconds: Number(row['issued_at']),
      })),
    };
  });
}

async function pruneOlder({ query }: PostgresDatabase, statement: string, beforeSeconds: number): Promise<void> {
  const pruneSome = async () => (await query(statement, [beforeSeconds])).length;
  while ((await pruneSome()) === PRUNED_AT_ONCE) await setImmediate();
}
