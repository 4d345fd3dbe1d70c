/**
 * The PostgreSQL database that all replicas share: a bounded pool of connections, the schema, time limits. Works
 * behind PgBouncer in transaction mode: nothing outlives its transaction except named statements, and those are used
 * only while every connection has its own server process.
 *
 * Migrations use no library: node-pg-migrate's lock belongs to a session, which PgBouncer does not keep, umzug has no
 * lock, and the one transaction below is enough.
 */

import { createHash } from 'node:crypto';
import { DatabaseError, Pool, type QueryConfig } from 'pg';
import { WebdistError } from '../errors.ts';
import { migrationsAfter } from './migrations.ts';

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
];

/** Any number, the same in every replica: the advisory lock under which one of them migrates. */
const MIGRATION_LOCK = 0x77646973;

const CONNECTIONS = 10;

/** Limits of a request's statement: first the server cancels it, soon after the client gives up. */
const STATEMENT_MS = 150;
const QUERY_MS = 200;
/** A new connection may take longer than the request waits that needs it; it then serves the next request. */
const CONNECT_MS = 1000;
/** The limit of a transaction that no visitor waits for. */
const PATIENT_MS = 15_000;

type Row = Record<string, unknown>;
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

export interface PostgresDatabase {
  /** One statement, one round trip, within 200 ms. Throws `ledger_unavailable`. */
  readonly query: Query;
  /** Several statements as one transaction, with time for it. Throws `ledger_unavailable`. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * Opens the database of a `postgres://` URL and brings its schema to this version (a read replica's is left alone), now
 * or, when it cannot be reached, before the first statement that reaches it. TLS as the URL's `sslmode` says.
 * Throws `config_invalid` when the server refuses the login or the tables, `state_invalid` for a newer schema.
 */
export async function openPostgresDatabase(url: string, { isReplica = false } = {}): Promise<PostgresDatabase> {
  let pool = openPool(url, STATEMENT_MS);
  let migrated: Promise<void> | undefined;
  // Named statements are planned once per connection instead of once per request: a fifth of the time.
  let named = true;
  const ready = () => {
    migrated ??= prepare().catch((error) => {
      migrated = undefined;
      throw error;
    });
    return migrated;
  };
  const connect = isReplica ? reach : migrate;
  const prepare = () =>
    connect(pool).catch(async (error) => {
      if (!isPgBouncerRefusal(error)) throw error;
      // Without the start-up parameter, only the role can limit its statements (docs/ledger.md).
      await pool.end();
      pool = openPool(url, false);
      named = false;
      await connect(pool);
    });
  await ready().catch((error) => {
    const refusal = forPerson(error, isReplica ? 'WEBDIST_LEDGER_READ' : 'WEBDIST_LEDGER');
    if (refusal) return pool.end().then(() => Promise.reject(refusal));
  });
  return {
    query: (text, values = []) =>
      answered(async () => {
        await ready();
        const run = async () =>
          (await pool.query<Row>({ text, values: [...values], ...(named && { name: nameOf(text) }) })).rows;
        return await run().catch((error) => {
          if (!isMixedUp(error)) throw error;
          named = false;
          return run();
        });
      }),
    transaction: (work) =>
      answered(async () => {
        await ready();
        return inTransaction(pool, work);
      }),
    close: () => pool.end(),
  };
}

function openPool(connectionString: string, statementMs: number | false): Pool {
  const pool = new Pool({
    connectionString,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    statement_timeout: statementMs,
    keepAlive: true,
    application_name: 'webdist',
  });
  pool.on('error', () => {
    // A connection that ended while idle has left the pool already; the next statement opens another.
  });
  return pool;
}

/** A read replica has its schema from the ledger that it follows. */
async function reach(pool: Pool): Promise<void> {
  await pool.query('SELECT 1');
}

/** One replica migrates; the others wait for it and then have nothing to do. */
async function migrate(pool: Pool): Promise<void> {
  await inTransaction(pool, async (query) => {
    const missing = async () => {
      const [row] = await query('SELECT coalesce(max(version), 0) AS version FROM webdist_schema');
      return migrationsAfter(Number(row?.['version']), migrations, 'in PostgreSQL');
    };
    // Before taking the lock or creating anything, so that the service's role needs no right to create tables.
    const [schema] = await query(`SELECT to_regclass('webdist_schema') IS NOT NULL AS found`);
    if (schema?.['found'] && (await missing()).length === 0) return;
    await query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await query('CREATE TABLE IF NOT EXISTS webdist_schema (version integer PRIMARY KEY)');
    const statements = await missing();
    if (statements.length === 0) return;
    for (const statement of statements) await query(statement);
    await query('INSERT INTO webdist_schema (version) VALUES ($1)', [migrations.length]);
  });
}

async function inTransaction<T>(pool: Pool, work: (query: Query) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let committed = false;
  // The connection can end between two statements; then the next statement fails.
  const onError = () => undefined;
  client.on('error', onError);
  try {
    // Without values, pg uses the simple protocol, which allows several statements at once, as in a migration.
    const query: Query = async (text, values = []) =>
      (await client.query<Row>({ text, values: [...values], query_timeout: PATIENT_MS } as QueryConfig)).rows ?? [];
    await query('BEGIN');
    await query(`SET LOCAL statement_timeout = ${PATIENT_MS}`);
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

/** Derived from the text, so that two versions of webdist behind one PgBouncer never use one name for two statements. */
const nameOf = (text: string) => `webdist_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;

/** A pooler between us and the server mixed up named statements (invalid_sql_statement_name, duplicate_prepared_statement): nothing was run. */
const isMixedUp = (error: unknown) =>
  error instanceof DatabaseError && (error.code === '26000' || error.code === '42P05');

async function answered<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new WebdistError('ledger_unavailable', 'The PostgreSQL ledger cannot answer.', {
      cause,
      retryAfterSeconds: 1,
    });
  }
}

/** PgBouncer refuses start-up parameters that it was not told to ignore. */
const isPgBouncerRefusal = (error: unknown) =>
  error instanceof Error && /unsupported startup parameter/.test(error.message);

/** Login, database or privilege refused (PostgreSQL's error codes, classes 28, 3D, 3F, 42): waiting fixes none of them. */
function forPerson(error: unknown, setting: string): WebdistError | undefined {
  if (error instanceof WebdistError) return error;
  if (!(error instanceof DatabaseError) || !/^(28|3D|3F|42)/.test(error.code ?? '')) return undefined;
  return new WebdistError('config_invalid', `${setting}: PostgreSQL refuses (${error.code}).`, {
    hint: 'Check user, password and database of the URL, and that the user may create tables there.',
    cause: error,
  });
}
