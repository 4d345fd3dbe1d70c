/**
 * Opens a bounded pool of connections to the first host of a URL that accepts the login and meets
 * `target_session_attrs`.
 */

import { readFile } from 'node:fs/promises';
import { Pool } from 'pg';
import type { LedgerAddress } from './contract.ts';
import { isPgBouncerRefusal, isTlsRefusal, mayWorkOtherwise } from './postgres-problems.ts';
import { type Host, type PostgresAddress, parsePostgresUrl, type TargetSession, type Tls } from './postgres-url.ts';

export type OpenedPool = {
  readonly pool: Pool;
  /** Whether statements may be named. They may if, as far as is known, every connection has its own server process. */
  named: boolean;
  readonly hasSeveralHosts: boolean;
};

type Way = Pick<Host, 'host' | 'port'> & { readonly ssl: Tls };

const CONNECTIONS = 10;

/** Limits of a request's statement: the server cancels it first, and soon afterwards the client gives up. */
const STATEMENT_MS = 150;
const QUERY_MS = 200;
/** A new connection may take longer than its request waits. It then serves the next request. */
const CONNECT_MS = 1000;

/**
 * Reads the address and the files that it names, and connects. Throws the error of the last host that was tried, or
 * `config_invalid` for a certificate that cannot be read.
 */
export async function openPool(address: LedgerAddress): Promise<OpenedPool> {
  const parsed = await read(address);
  const wanted = parsed.target === 'prefer-standby' ? (['standby', 'any'] as const) : [parsed.target];
  let failure: unknown;
  for (const target of wanted)
    for (const host of parsed.hosts) {
      try {
        return await openHost(parsed, host, target);
      } catch (error) {
        failure = error;
      }
    }
  throw failure;
}

/** The current URL and password, because both may have been rotated. */
async function read({ url, urlFile, password, passwordFile }: LedgerAddress): Promise<PostgresAddress> {
  const textOf = async (path: string) => (await readFile(path, 'utf8')).trim();
  const parsed = parsePostgresUrl(urlFile === undefined ? url : await textOf(urlFile));
  if (parsed.password !== undefined) return parsed;
  return { ...parsed, password: passwordFile === undefined ? password : await textOf(passwordFile) };
}

/**
 * Connects with or without TLS, as `sslmode` allows. Throws the error of the first of these ways that the host supports.
 */
async function openHost(address: PostgresAddress, { host, port, ways }: Host, target: TargetSession) {
  let failure: unknown;
  for (const ssl of ways) {
    try {
      return await openWay(address, { host, port, ssl }, target);
    } catch (error) {
      if (failure === undefined || isTlsRefusal(failure)) failure = error;
      if (!mayWorkOtherwise(error)) break;
    }
  }
  throw failure;
}

async function openWay(address: PostgresAddress, way: Way, target: TargetSession): Promise<OpenedPool> {
  const open = async (named: boolean): Promise<OpenedPool> => {
    const pool = poolOf(address, way, named ? STATEMENT_MS : false);
    try {
      await expectTarget(pool, target);
      return { pool, named, hasSeveralHosts: address.hosts.length > 1 };
    } catch (error) {
      await pool.end();
      throw error;
    }
  };
  return open(true).catch((error) => {
    if (!isPgBouncerRefusal(error)) throw error;
    // Without the start-up parameter, only the role can limit its statements (docs/ledger.md).
    return open(false);
  });
}

function poolOf(address: PostgresAddress, { host, port, ssl }: Way, statementMs: number | false): Pool {
  const { user, password, database, options, applicationName, usesChannelBinding } = address;
  const pool = new Pool({
    host,
    port,
    ssl,
    user,
    password,
    database,
    options,
    application_name: applicationName,
    enableChannelBinding: usesChannelBinding,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    statement_timeout: statementMs,
    keepAlive: true,
  });
  pool.on('error', () => {
    // A connection that ended while idle has already left the pool. The next statement opens another.
  });
  return pool;
}

const SESSION = `SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS "readOnly"`;

type Session = { readonly standby: boolean; readonly readOnly: boolean };

const isWanted: Readonly<Record<TargetSession, (session: Session) => boolean>> = {
  any: () => true,
  'read-write': ({ readOnly }) => !readOnly,
  'read-only': ({ readOnly }) => readOnly,
  primary: ({ standby }) => !standby,
  standby: ({ standby }) => standby,
  'prefer-standby': () => true,
};

/** Makes a connection. Throws if the host does not meet `target_session_attrs`. */
async function expectTarget(pool: Pool, target: TargetSession): Promise<void> {
  if (target === 'any') return void (await pool.query('SELECT 1'));
  const { rows } = await pool.query<Session>(SESSION);
  if (!rows[0] || !isWanted[target](rows[0])) throw new Error('The host is not what target_session_attrs requires.');
}
