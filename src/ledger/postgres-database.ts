/**
 * The PostgreSQL database that all replicas share: a bounded pool of connections, the schema, time limits. Works behind
 * PgBouncer in transaction mode. No state outlives its transaction except named statements, which are used only while
 * every connection has its own server process.
 *
 * Migrations use no library: node-pg-migrate's lock belongs to a session, which PgBouncer does not keep, umzug has no
 * lock, and the one transaction below is enough.
 */

import { createHash } from 'node:crypto';
import type { Pool, QueryConfig } from 'pg';
import { type LedgerAddress, variableOf } from './contract.ts';
import { migrationsAfter } from './migrations.ts';
import { type OpenedPool, openPool } from './postgres-pool.ts';
import { forPerson, isDisconnected, isMixedUp, isMoved, unavailable } from './postgres-problems.ts';

/** Each entry brings the schema from its index to the next version; never edit one that was released. */
const migrations = [
  `CREATE TABLE webdist_install (
     subject bigint NOT NULL, apple_item_id text NOT NULL, installed_at bigint NOT NULL,
     PRIMARY KEY (subject, apple_item_id));
   CREATE INDEX webdist_install_by_age ON webdist_install (installed_at);
   CREATE TABLE webdist_heartbeat (
     only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), beat_at timestamptz NOT NULL DEFAULT now());
   INSERT INTO webdist_heartbeat DEFAULT VALUES;
   CREATE TABLE webdist_registered_key (
     apple_item_id text PRIMARY KEY, key_id text NOT NULL, spki text NOT NULL, seen_at timestamptz NOT NULL);
   CREATE TABLE webdist_rotation (
     only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), run text NOT NULL, notice text NOT NULL);`,
  `CREATE TABLE webdist_ever_registered (name text PRIMARY KEY);`,
  `CREATE TABLE webdist_orders (
     only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), orders text NOT NULL);
   CREATE TABLE webdist_replica (id text PRIMARY KEY, report text NOT NULL, seen_at timestamptz NOT NULL);`,
  `CREATE TABLE webdist_check (
     configuration text PRIMARY KEY, replica text NOT NULL, held_until timestamptz NOT NULL, began_at timestamptz NOT NULL,
     checked_at timestamptz, next_at timestamptz, failures integer NOT NULL DEFAULT 0, findings_id text, findings text);`,
  `CREATE TABLE webdist_secret (
     only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), fingerprint text NOT NULL);`,
  'ALTER TABLE webdist_install ADD COLUMN redownload_at bigint NOT NULL DEFAULT 0;',
];

/** The advisory lock under which one replica migrates. The number is arbitrary, but the same in every replica. */
const MIGRATION_LOCK = 0x77646973;

/** The time limit for each statement of a transaction for which no visitor waits. */
const PATIENT_MS = 15_000;

/** The limit of the first statements on a new pool: if an answer is lost, the pool is opened again after this time. */
const FIRST_ANSWER_MS = 2000;

type Row = Record<string, unknown>;
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

export interface PostgresDatabase {
  /** Runs one statement in one round trip, within 200 ms. Throws `ledger_unavailable`. */
  readonly query: Query;
  /**
   * Runs several statements as one transaction, of which each may take `limitMs`, by default 15 seconds. Throws
   * `ledger_unavailable`.
   */
  transaction<T>(work: (query: Query) => Promise<T>, limitMs?: number): Promise<T>;
  close(): Promise<void>;
}

/**
 * Opens the database of a `postgres://` address, and migrates its schema to this version (except that of a read
 * replica). If the database cannot be reached now, it is migrated before the first statement that reaches it. After a
 * failover, and after a refused login, the address is read again, and its hosts are tried again. Throws
 * `config_invalid` for what only a person can fix, such as a refused login, and `state_invalid` for a newer schema.
 */
export async function openPostgresDatabase(
  address: LedgerAddress,
  { isReplica = false } = {},
): Promise<PostgresDatabase> {
  let opening: Promise<OpenedPool> | undefined;
  const open = async () => {
    const opened = await openPool(address);
    try {
      // A read replica has its schema from the ledger that it follows.
      if (!isReplica) await migrate(opened.pool);
      return opened;
    } catch (error) {
      await opened.pool.end();
      throw error;
    }
  };
  const opened = () => {
    opening ??= open().catch((error) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  await opened().catch((error) => {
    const refusal = forPerson(error, variableOf(isReplica ? 'WEBDIST_LEDGER_READ' : 'WEBDIST_LEDGER', address));
    if (refusal) throw refusal;
  });
  /** Runs work. An error that a new connection may fix closes this pool. Requests in progress on it still finish. */
  const during = async <T>(work: (on: OpenedPool) => Promise<T>): Promise<T> => {
    try {
      const on = await opened();
      return await work(on).catch((error) => {
        if (isMoved(error) || (on.hasSeveralHosts && isDisconnected(error))) {
          opening = undefined;
          void on.pool.end().catch(() => undefined);
        }
        throw error;
      });
    } catch (error) {
      throw unavailable(error);
    }
  };
  return {
    query: (text, values = []) =>
      during(async (on) => {
        const run = async () =>
          (await on.pool.query<Row>({ text, values: [...values], ...(on.named && { name: nameOf(text) }) })).rows;
        return await run().catch((error) => {
          if (!isMixedUp(error)) throw error;
          on.named = false;
          return run();
        });
      }),
    transaction: (work, limitMs) => during(({ pool }) => inTransaction(pool, work, limitMs)),
    async close() {
      const last = await opening?.catch(() => undefined);
      await last?.pool.end();
    },
  };
}

/** One replica migrates. The others wait for it, and then have nothing to do. */
async function migrate(pool: Pool): Promise<void> {
  // Checked before taking the lock or creating anything, so that the service's role needs no right to create tables.
  if (await isMigrated(pool)) return;
  await inTransaction(pool, async (query) => {
    await query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await query('CREATE TABLE IF NOT EXISTS webdist_schema (version integer PRIMARY KEY)');
    const statements = missingAfter(await query(VERSION));
    if (statements.length === 0) return;
    for (const statement of statements) await query(statement);
    await query('INSERT INTO webdist_schema (version) VALUES ($1)', [migrations.length]);
  });
}

const VERSION = 'SELECT coalesce(max(version), 0) AS version FROM webdist_schema';

const missingAfter = ([row]: readonly Row[]) => migrationsAfter(Number(row?.['version']), migrations, 'in PostgreSQL');

/** Every statement waits for this one, so it waits less than a migration. */
const isMigrated = (pool: Pool): Promise<boolean> =>
  inTransaction(
    pool,
    async (query) => {
      const [schema] = await query(`SELECT to_regclass('webdist_schema') IS NOT NULL AS found`);
      return schema?.['found'] === true && missingAfter(await query(VERSION)).length === 0;
    },
    FIRST_ANSWER_MS,
  );

async function inTransaction<T>(pool: Pool, work: (query: Query) => Promise<T>, limitMs = PATIENT_MS): Promise<T> {
  const client = await pool.connect();
  let committed = false;
  // The connection can end between two statements; then the next statement fails.
  const onError = () => undefined;
  client.on('error', onError);
  try {
    // Without values, pg uses the simple protocol, which allows several statements at once, as in a migration.
    const query: Query = async (text, values = []) =>
      (await client.query<Row>({ text, values: [...values], query_timeout: limitMs } as QueryConfig)).rows ?? [];
    await query('BEGIN');
    await query(`SET LOCAL statement_timeout = ${limitMs}`);
    const result = await work(query);
    await query('COMMIT');
    committed = true;
    return result;
  } finally {
    client.removeListener('error', onError);
    // Closing the connection rolls back in every state.
    client.release(!committed);
  }
}

/**
 * The name is derived from the text, so that two versions of webdist behind one PgBouncer never use the same name for
 * two statements.
 */
const nameOf = (text: string) => `webdist_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
