/**
 * A PostgreSQL of a test's own, from the packages of this machine: a cluster in a temporary folder, on a free port of
 * 127.0.0.1. PgBouncer in front of it on request. Where they are not installed the tests skip by name.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

const binDir = globSync('/usr/lib/postgresql/*/bin').sort().at(-1);
const PGBOUNCER = '/usr/sbin/pgbouncer';

/** Why there can be no PostgreSQL here, or false. */
export const noPostgres: string | false = binDir === undefined && 'PostgreSQL is not installed (Debian: postgresql)';
export const noPgBouncer: string | false =
  noPostgres || (!existsSync(PGBOUNCER) && 'PgBouncer is not installed (Debian: pgbouncer)');

export type PostgresServer = {
  /** Of a new, empty database. */
  freshUrl(): Promise<string>;
  /** Runs a statement as the owner of everything. */
  admin(text: string, database?: string): Promise<readonly Record<string, unknown>[]>;
  /** The server's own process: to stop and continue it. */
  pid(): number;
  start(): void;
  /** `immediate` is as good as a crash. */
  stop(how: 'fast' | 'immediate'): void;
  /** A PgBouncer in transaction mode before this server: gives what a URL has to be instead. */
  /** A PgBouncer older than 1.21 mixes up named statements; one that `ignores` what it should refuse cannot be told apart. */
  openPgBouncer(more?: { ignores: boolean }): Promise<{ through(url: string): string; close(): Promise<void> }>;
  close(): Promise<void>;
};

/** Initializes and starts a cluster. fsync is off: what these tests end is processes, not the machine. */
export async function openPostgresServer(): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-postgres-'));
  const owner = serverUser();
  if (owner) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, 'data');
  const run = (program: string, ...args: string[]) =>
    execFileSync(join(binDir ?? '', program), args, { ...owner, cwd: folder, stdio: 'ignore' });
  const port = await freePort();
  run('initdb', '-D', data, '-U', 'webdist', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C');
  const settings = `-p ${port} -h 127.0.0.1 -k ${folder} -c fsync=off -c shared_buffers=32MB -c max_connections=60`;
  const start = () => run('pg_ctl', '-D', data, '-w', '-l', join(folder, 'log'), '-o', settings, 'start');
  const stop = (how: 'fast' | 'immediate') => run('pg_ctl', '-D', data, '-m', how, '-w', 'stop');
  start();
  const urlOf = (database: string) => `postgres://webdist@127.0.0.1:${port}/${database}`;
  const pid = () => Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  let databases = 0;
  const admin = async (text: string, database = 'postgres') => {
    const client = new pg.Client({ connectionString: urlOf(database) });
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  return {
    admin,
    async freshUrl() {
      const name = `ledger${++databases}`;
      await admin(`CREATE DATABASE ${name}`);
      return urlOf(name);
    },
    pid,
    start,
    stop,
    openPgBouncer: ({ ignores } = { ignores: false }) => openPgBouncer(folder, port, owner, ignores),
    async close() {
      if (existsSync(join(data, 'postmaster.pid'))) stop('immediate');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openPgBouncer(
  folder: string,
  serverPort: number,
  owner: { uid: number; gid: number } | undefined,
  ignores: boolean,
) {
  const port = await freePort();
  const config = join(folder, 'pgbouncer.ini');
  const users = join(folder, 'users.txt');
  writeFileSync(users, '"webdist" ""\n');
  writeFileSync(
    config,
    `[databases]
* = host=127.0.0.1 port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
${ignores ? 'ignore_startup_parameters = statement_timeout' : ''}
`,
  );
  for (const path of [config, users]) chmodSync(path, 0o644);
  const child = spawn(PGBOUNCER, ['-q', config], { ...owner, cwd: folder, stdio: 'ignore' });
  // Also when a test is cut short before its teardown.
  process.once('exit', () => child.kill('SIGKILL'));
  await untilListening(port);
  return {
    through: (url: string) => url.replace(`:${serverPort}/`, `:${port}/`),
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** PostgreSQL refuses to run as root; the package makes a user for it. */
function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('There is no free port.');
  return address.port;
}

/** Resolves once something listens on the port. */
export async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
        .once('connect', () => resolve(true))
        .once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Nothing listens on ${port}.`);
}
