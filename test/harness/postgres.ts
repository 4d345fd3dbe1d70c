/**
 * PostgreSQL from the packages of this machine: one cluster that the run shares, with a new database for each caller, and
 * clusters of their own for tests that stop them. PgBouncer in front on request. Without the packages, tests skip by name.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort, untilListening } from './port.ts';
import { sharedServer } from './shared.ts';

const binDir = globSync('/usr/lib/postgresql/*/bin').sort().at(-1);
const PGBOUNCER = '/usr/sbin/pgbouncer';

/** Why PostgreSQL cannot run here, or false. */
export const noPostgres: string | false = binDir === undefined && 'PostgreSQL is not installed (Debian: postgresql)';
export const noPgBouncer: string | false =
  noPostgres || (!existsSync(PGBOUNCER) && 'PgBouncer is not installed (Debian: pgbouncer)');

type Databases = {
  /** The URL of a new, empty database. */
  freshUrl(): Promise<string>;
  /** Runs a statement as the superuser, in the database with this name or URL. */
  admin(text: string, database?: string): Promise<readonly Record<string, unknown>[]>;
};

type Cluster = {
  readonly url: string;
  /** The server's process, to pause and resume it. */
  pid(): number;
  start(): void;
  /** `immediate` has the effect of a crash. */
  stop(how: 'fast' | 'immediate'): void;
  close(): Promise<void>;
};

export type PostgresServer = Databases &
  Cluster & {
    /** A read replica with streaming replication; `through` returns the URL of a database on it. */
    openReplica(): Promise<Cluster & Pick<Databases, 'admin'> & { through(url: string): string }>;
  };

/** The cluster of this run, for tests that leave it running. */
export const sharedPostgres = async (): Promise<Databases> => databasesOf(await sharedServer('postgres'));

type Setup = {
  /** Lines of pg_hba.conf instead of "everyone, without a password". */
  readonly hba?: readonly string[];
  /** Files for TLS. */
  readonly tls?: { readonly key: string; readonly certificate: string };
  /** Lines of postgresql.conf. */
  readonly config?: readonly string[];
};

/** Initializes and starts a cluster. fsync is off: these tests kill processes, not the machine. */
export async function openPostgresServer({ hba, tls, config = [] }: Setup = {}): Promise<PostgresServer> {
  const cluster = await openCluster((data, run) => {
    run('initdb', '-D', data, '-U', 'webdist', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C');
    if (hba) writeFileSync(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`);
    const lines = [...config];
    if (tls) {
      for (const [name, path] of Object.entries({ 'server.key': tls.key, 'server.crt': tls.certificate })) {
        const copy = join(data, name);
        writeFileSync(copy, readFileSync(path), { mode: 0o600 });
        const owner = serverUser();
        if (owner) chownSync(copy, owner.uid, owner.gid);
      }
      lines.push('ssl = on', "ssl_ca_file = 'server.crt'");
    }
    appendFileSync(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`);
  });
  const { port } = new URL(cluster.url);
  return {
    ...cluster,
    ...databasesOf(cluster.url),
    async openReplica() {
      const from = ['-h', '127.0.0.1', '-p', port, '-U', 'webdist'];
      const replica = await openCluster((data, run) =>
        run('pg_basebackup', '-D', data, ...from, '-R', '-X', 'stream', '--checkpoint=fast', '--no-sync'),
      );
      const through = (url: string) => Object.assign(new URL(url), { port: new URL(replica.url).port }).href;
      return { ...replica, admin: databasesOf(replica.url).admin, through };
    },
  };
}

type Run = (program: string, ...args: string[]) => void;

/** Starts a server on the data folder that `create` makes. */
async function openCluster(create: (data: string, run: Run) => void): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-postgres-'));
  const owner = serverUser();
  if (owner) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, 'data');
  const run: Run = (program, ...args) =>
    void execFileSync(join(binDir ?? '', program), args, { ...owner, cwd: folder, stdio: 'ignore' });
  const port = await freePort();
  create(data, run);
  const settings = `-p ${port} -h 127.0.0.1 -k ${folder} -c fsync=off -c shared_buffers=32MB -c max_connections=100`;
  const start = () => run('pg_ctl', '-D', data, '-w', '-l', join(folder, 'log'), '-o', settings, 'start');
  const stop = (how: 'fast' | 'immediate') => run('pg_ctl', '-D', data, '-m', how, '-w', 'stop');
  start();
  return {
    url: `postgres://webdist@127.0.0.1:${port}/postgres`,
    pid: () => Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]),
    start,
    stop,
    async close() {
      if (existsSync(join(data, 'postmaster.pid'))) stop('immediate');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The number of databases that this process has created, on all servers. */
let databases = 0;

function databasesOf(serverUrl: string): Databases {
  const urlOf = (database: string) => new URL(`/${database.split('/').at(-1)}`, serverUrl).href;
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
      const name = `test_${process.pid}_${++databases}`;
      await admin(`CREATE DATABASE ${name}`);
      return urlOf(name);
    },
  };
}

/**
 * A PgBouncer in transaction mode in front of a server; `through` returns the URL of a database behind it. A PgBouncer
 * older than 1.21 mixes up named statements; one that `ignores` the start-up parameters it should refuse cannot be
 * distinguished from it.
 */
export async function openPgBouncer(serverUrl: string, { ignores } = { ignores: false }) {
  const owner = serverUser();
  const folder = mkdtempSync(join(tmpdir(), 'webdist-pgbouncer-'));
  if (owner) chownSync(folder, owner.uid, owner.gid);
  const port = await freePort();
  const config = join(folder, 'pgbouncer.ini');
  const users = join(folder, 'users.txt');
  writeFileSync(users, '"webdist" ""\n');
  writeFileSync(
    config,
    `[databases]
* = host=127.0.0.1 port=${new URL(serverUrl).port}
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
  // Also if a test ends before its teardown.
  process.once('exit', () => child.kill('SIGKILL'));
  await untilListening(port);
  return {
    through: (url: string) => Object.assign(new URL(url), { port: String(port) }).href,
    async close() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root; the package creates a user for it. */
function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
