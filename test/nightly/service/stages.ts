/** Services with real dependencies, and the faults that can be caused in them: the rows of health.test.ts. */

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import type { Health } from '../../../src/service/health.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { startProcess } from '../../harness/process.ts';
import { noRedis, openRedisServer } from '../../harness/redis.ts';
import { endFaults, setFault, startSandbox } from '../../harness/sandbox.ts';
import { type Running, type ServiceOptions, settingsIn, startService } from '../../harness/service.ts';
import { noSmallDisk, openSmallDisk } from '../../harness/small-disk.ts';
import type { Fault } from '../../harness/stand-ins/fault.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';

/** What can go wrong in a stage, and the name of the part of health that reports it. */
export type Trouble = {
  readonly name: string;
  readonly part: 'ledger' | 'ledgerRead' | 'redis' | 'clock' | 'orders' | 'key' | 'registration';
  /** Whether the service is not ready meanwhile. */
  readonly stops?: boolean;
  begin(): unknown;
  end(): unknown;
};

/** A service, and the faults that can be caused in it. */
export type Stage = {
  readonly url: string;
  health(): Health | Promise<Health>;
  /** How often each event was logged. */
  count(event: string): number;
  readonly troubles: readonly Trouble[];
};

/** The shortest interval between two checks of the registration and the keys; the default is 300 s. */
const INTERVAL_SECONDS = 5;
const SECRET = 'a secret for this test, long enough';
const common = {
  WEBDIST_REGISTER_INTERVAL: String(INTERVAL_SECONDS),
  WEBDIST_ANONYMOUS: 'any',
  WEBDIST_RATE_LIMIT: '1000000',
  WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
};

const here = (running: Running, troubles: readonly Trouble[]): Stage => ({
  url: running.url,
  health: () => running.service.health(),
  count: (event) => running.log.events(event).length,
  troubles,
});

const alone = (t: Test, more: Environment, options?: ServiceOptions) =>
  startService(t, undefined, settingsIn(temporaryFolder(t), { ...common, ...more }), options);

/** SIGSTOP and SIGCONT. */
const paused = (pid: () => number) => ({
  begin: () => process.kill(pid(), 'SIGSTOP'),
  end: () => process.kill(pid(), 'SIGCONT'),
});

/** App Store Connect answers in one way, until the end. */
const apple = (name: string, fault: object) => async (t: Test) => {
  const sandbox = await startSandbox(t);
  const running = await startService(t, sandbox, common);
  const begin = () => setFault(sandbox, fault);
  return here(running, [{ name, part: 'registration', begin, end: () => endFaults(sandbox) }]);
};

async function redis(t: Test): Promise<Stage> {
  const server = await openRedisServer();
  t.teardown(() => server.stop());
  const admin = new Redis(server.url);
  admin.on('error', () => undefined);
  t.teardown(() => admin.disconnect());
  const running = await alone(t, { WEBDIST_REDIS_URL: server.url });
  const set = (name: string, value: string) => () => admin.config('SET', name, value);
  return here(running, [
    { name: 'Redis is killed', part: 'redis', begin: server.stop, end: server.start },
    { name: 'Redis is paused', part: 'redis', ...paused(server.pid) },
    { name: "Redis's memory is full", part: 'redis', begin: set('maxmemory', '1'), end: set('maxmemory', '0') },
    {
      name: 'Redis is a read-only replica',
      part: 'redis',
      begin: () => admin.replicaof('127.0.0.1', 1),
      end: () => admin.replicaof('NO', 'ONE'),
    },
  ]);
}

/** The key is in Vault: it signs there, or was read from there. */
const vault = (place: 'transit' | 'kv') => async (t: Test) => {
  const server = await startVault();
  t.teardown(() => server[Symbol.asyncDispose]());
  const admin = (path: string, body: object) => administer(server.url, server.rootToken, 'POST', path, body);
  await admin(`sys/mounts/${place}`, { type: place });
  if (place === 'transit') await admin('transit/keys/shop', { type: 'ecdsa-p256' });
  else {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await admin('kv/data/shop', { data: { key: privateKey.export({ format: 'pem', type: 'pkcs8' }) } });
  }
  const file = join(temporaryFolder(t), 'token');
  writeFileSync(file, server.rootToken);
  const running = await alone(t, {
    VAULT_ADDR: server.url,
    VAULT_TOKEN_FILE: file,
    WEBDIST_KEY: place === 'transit' ? 'hashivault://shop' : 'vault+kv://kv/shop#key',
  });
  const trouble = (name: string, fault: Fault): Trouble => ({
    name: `${place === 'transit' ? 'the signer' : "the key's store"} ${name}`,
    part: 'key',
    stops: place === 'transit',
    begin() {
      server.fault = fault;
    },
    end() {
      server.fault = undefined;
    },
  });
  return here(running, [
    trouble('closes every connection', 'dropped'),
    trouble('answers 5xx', 'broken'),
    trouble('does not answer', 'slow'),
  ]);
};

async function keyFile(t: Test): Promise<Stage> {
  const folder = temporaryFolder(t);
  const settings = settingsIn(folder, common);
  const path = join(folder, 'key.pem');
  const key = readFileSync(path);
  const end = () => writeFileSync(path, key);
  return here(await startService(t, undefined, settings), [
    { name: "the key's file is removed", part: 'key', stops: true, begin: () => rmSync(path), end },
    { name: "the key's file is damaged", part: 'key', begin: () => writeFileSync(path, 'damaged'), end },
  ]);
}

async function postgres(t: Test): Promise<Stage> {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const url = await server.freshUrl();
  const name = new URL(url).pathname.slice(1);
  const running = await alone(t, { WEBDIST_LEDGER: url, WEBDIST_LEDGER_SECRET: SECRET });
  const allow = (isAllowed: boolean) => () =>
    server.admin(
      `ALTER DATABASE ${name} ALLOW_CONNECTIONS ${isAllowed};
       SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`,
    );
  return here(running, [
    { name: 'PostgreSQL is killed', part: 'ledger', begin: () => server.stop('immediate'), end: server.start },
    { name: 'PostgreSQL refuses connections', part: 'ledger', begin: allow(false), end: allow(true) },
    { name: 'another program locks the table in PostgreSQL', part: 'ledger', ...locked(url) },
  ]);
}

/** Another program holds an exclusive lock on the table of installs. */
function locked(url: string) {
  let other: pg.Client | undefined;
  return {
    async begin() {
      other = new pg.Client({ connectionString: url });
      await other.connect();
      await other.query('BEGIN; LOCK TABLE webdist_install IN ACCESS EXCLUSIVE MODE');
    },
    end: () => other?.end(),
  };
}

async function readReplica(t: Test): Promise<Stage> {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const url = await server.freshUrl();
  const replica = await server.openReplica();
  t.teardown(() => replica.close());
  const running = await alone(t, {
    WEBDIST_LEDGER: url,
    WEBDIST_LEDGER_READ: replica.through(url),
    WEBDIST_LEDGER_SECRET: SECRET,
  });
  const killed = ({ stop, start }: Pick<typeof server, 'stop' | 'start'>) => ({
    begin: () => stop('immediate'),
    end: start,
  });
  return here(running, [
    { name: "PostgreSQL's read replica is killed", part: 'ledgerRead', ...killed(replica) },
    { name: "PostgreSQL's primary is killed; a replica is read", part: 'ledger', ...killed(server) },
  ]);
}

/** SQLite on a disk of its own, which other files fill. */
async function fullDisk(t: Test): Promise<Stage> {
  const disk = await openSmallDisk(t, '2m');
  const settings = settingsIn(temporaryFolder(t), { ...common, WEBDIST_DATA_DIR: disk.folder });
  const running = await startProcess(t, settings, { within: disk.inside() });
  const fill = `cat /dev/zero >${disk.folder}/other 2>/dev/null || true`;
  return {
    url: running.url,
    health: async () => (await fetch(`${running.url}/health/ready`)).json() as Promise<Health>,
    count: (event) => running.output().split(`"event":"${event}"`).length - 1,
    troubles: [
      {
        name: "SQLite's disk is full",
        part: 'ledger',
        begin: () => disk.run('sh', '-c', fill),
        end: () => disk.run('rm', `${disk.folder}/other`),
      },
    ],
  };
}

async function clocks(t: Test): Promise<Stage> {
  const sandbox = await startSandbox(t);
  const zeroMs = Date.now() - performance.now();
  let aheadMs = 0;
  const clock = { now: () => Date.now() + aheadMs, timeOriginMs: () => zeroMs + aheadMs };
  const running = await startService(t, sandbox, common, clock);
  const set = (ms: number) => () => {
    aheadMs = ms;
  };
  return here(running, [
    {
      name: "this machine's clock is set by ten minutes",
      part: 'clock',
      stops: true,
      begin: set(600_000),
      end: set(0),
    },
    {
      name: "the Date of Apple's responses is ten minutes off",
      part: 'clock',
      stops: true,
      begin: () => setFault(sandbox, { clockSkewSeconds: -600 }),
      end: () => endFaults(sandbox),
    },
  ]);
}

async function orders(t: Test): Promise<Stage> {
  const dataDir = temporaryFolder(t);
  const running = await alone(t, { WEBDIST_DATA_DIR: dataDir });
  const path = join(dataDir, 'orders.json');
  return here(running, [
    {
      name: "the file of the operator's orders is damaged",
      part: 'orders',
      begin: () => writeFileSync(path, '{'),
      end: () => rmSync(path),
    },
  ]);
}

/** Each stage: its name, why it cannot be set up here (or false), and the function that opens it. */
export const stages: readonly (readonly [name: string, skip: string | false, open: (t: Test) => Promise<Stage>])[] = [
  ['500', false, apple('App Store Connect answers 500', { status: 500 })],
  ['dropped', false, apple('App Store Connect closes every connection', { drop: true })],
  ['silent', false, apple('App Store Connect does not answer', { latencyMs: 600_000 })],
  ['credentials', false, apple('App Store Connect refuses the API key', { status: 401, code: 'NOT_AUTHORIZED' })],
  ['limit', false, apple("App Store Connect's limit is used up", { status: 429, code: 'RATE_LIMIT_EXCEEDED' })],
  ['signer', false, vault('transit')],
  ['secret', false, vault('kv')],
  ['file', false, keyFile],
  ['Redis', noRedis, redis],
  ['PostgreSQL', noPostgres, postgres],
  ['read replica', noPostgres, readReplica],
  ['full disk', noSmallDisk, fullDisk],
  ['clocks', false, clocks],
  ['orders', false, orders],
];
