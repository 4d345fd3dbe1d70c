/**
 * `postgres://…`: one ledger for any number of webdist processes. The database may have read replicas. Example:
 * `postgres://webdist@db.example.com/webdist?sslmode=verify-full`.
 * The role must be able to create tables once, then to select, insert, update and delete. The role of a read replica
 * only selects. The server's `synchronous_commit` (`on` by default) determines how durable an install is.
 */

import { setImmediate } from 'node:timers/promises';
import type { Ledger, LedgerAddress, LedgerReader, LedgerReplica } from './contract.ts';
import { installOf } from './install-row.ts';
import { openPostgresDatabase, type Query } from './postgres-database.ts';

/** Rows deleted by one statement. More would exceed the statement's time limit. */
const PRUNED_AT_ONCE = 1000;

const LOOK_UP = `
  SELECT install.installed_at, install.redownload_at, extract(epoch FROM now())::float8 AS now FROM unnest($1::bigint[], $2::text[])
      WITH ORDINALITY AS entry (subject, apple_item_id, position)
    LEFT JOIN webdist_install AS install USING (subject, apple_item_id)
    ORDER BY entry.position`;

/** A cursor reads from one snapshot, also while others write. */
const OPEN_CURSOR = `
  DECLARE installs NO SCROLL CURSOR FOR SELECT subject, apple_item_id, installed_at, redownload_at FROM webdist_install`;
const NEXT_ROWS = 'FETCH 1000 FROM installs';

/** Locks rows in a fixed order, so that two replicas cannot deadlock. */
const ADD_INSTALLS = `
  INSERT INTO webdist_install AS known (subject, apple_item_id, installed_at, redownload_at)
  SELECT subject, apple_item_id, min(installed_at), min(redownload_at)
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])
      AS install (subject, apple_item_id, installed_at, redownload_at)
    GROUP BY subject, apple_item_id ORDER BY subject, apple_item_id
  ON CONFLICT (subject, apple_item_id) DO UPDATE SET
    installed_at = least(known.installed_at, excluded.installed_at),
    redownload_at = least(known.redownload_at, excluded.redownload_at)
    WHERE excluded.installed_at < known.installed_at OR excluded.redownload_at < known.redownload_at`;

/** Skips locked rows, so that replicas that prune at the same time delete different rows. */
const PRUNE = `
  DELETE FROM webdist_install WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM webdist_install WHERE installed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1`;

/** The table has one row from the start. */
const BEAT = `UPDATE webdist_heartbeat SET beat_at = clock_timestamp() RETURNING extract(epoch FROM beat_at) AS seconds`;
const LAST_BEAT = `SELECT extract(epoch FROM beat_at) AS seconds FROM webdist_heartbeat`;

/**
 * Opens the ledger of a `postgres://` URL. If the server cannot be reached, the ledger answers as soon as it is back.
 * Throws `config_invalid`, `state_invalid`.
 */
export async function openPostgres(address: LedgerAddress): Promise<Ledger> {
  const { query, transaction, close } = await openPostgresDatabase(address);
  return {
    ...readerOf(query),
    async addInstalls(installs) {
      await query(ADD_INSTALLS, [
        installs.map(({ subject }) => subject),
        installs.map(({ appleItemId }) => appleItemId),
        installs.map(({ installedAtSeconds }) => installedAtSeconds),
        installs.map(({ redownloadAtSeconds }) => redownloadAtSeconds),
      ]);
    },
    async secretFingerprint() {
      const [row] = await query('SELECT fingerprint FROM webdist_secret');
      return row && String(row['fingerprint']);
    },
    async keepSecretFingerprint(fingerprint) {
      await query('INSERT INTO webdist_secret (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING', [fingerprint]);
    },
    async export(subject) {
      const statement =
        'SELECT apple_item_id, installed_at FROM webdist_install WHERE subject = $1 ORDER BY installed_at';
      const rows = await transaction((inside) => inside(statement, [subject]));
      return rows.map((row) => ({
        appleItemId: String(row['apple_item_id']),
        installedAtSeconds: Number(row['installed_at']),
      }));
    },
    forget: (subject) =>
      transaction(
        async (inside) =>
          (await inside('DELETE FROM webdist_install WHERE subject = $1 RETURNING 1', [subject])).length,
      ),
    async stats() {
      const [row] = await transaction((inside) => inside('SELECT count(*) AS installs FROM webdist_install'));
      return { installs: Number(row?.['installs']) };
    },
    readAll: (take) =>
      transaction(async (inside) => {
        await inside(OPEN_CURSOR);
        for (;;) {
          const rows = await inside(NEXT_ROWS);
          if (rows.length === 0) return;
          await take(rows.map(installOf));
        }
      }),
    async prune(beforeSeconds, atMost = Number.POSITIVE_INFINITY) {
      let pruned = 0;
      for (;;) {
        const limit = Math.min(PRUNED_AT_ONCE, atMost - pruned);
        const some = (await query(PRUNE, [beforeSeconds, limit])).length;
        pruned += some;
        if (some < limit || pruned >= atMost) return pruned;
        await setImmediate();
      }
    },
    beat: async () => secondsOf(await query(BEAT)),
    close,
  };
}

/**
 * Opens a read replica of such a ledger. If it cannot be reached, it answers as soon as it is back. Throws
 * `config_invalid`.
 */
export async function openPostgresReplica(address: LedgerAddress): Promise<LedgerReplica> {
  const { query, close } = await openPostgresDatabase(address, { isReplica: true });
  return { ...readerOf(query), lastBeat: async () => secondsOf(await query(LAST_BEAT)), close };
}

const readerOf = (query: Query): Pick<LedgerReader, 'lookUp' | 'ping'> => ({
  async lookUp(entries) {
    const rows = await query(LOOK_UP, [
      entries.map(({ subject }) => subject),
      entries.map(({ appleItemId }) => appleItemId),
    ]);
    return rows.map((row) =>
      row['installed_at'] === null
        ? undefined
        : {
            installedAtSeconds: Number(row['installed_at']),
            redownloadAtSeconds: Number(row['redownload_at']),
            ledgerSeconds: Number(row['now']),
          },
    );
  },
  async ping() {
    await query('SELECT 1 FROM webdist_install LIMIT 1');
  },
});

const secondsOf = (rows: readonly Record<string, unknown>[]) => Number(rows[0]?.['seconds']);
