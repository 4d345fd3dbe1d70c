/**
 * What is wrong with a Redis, in the words of the service and of the doctor, which are the same. Every row is a real
 * server; docs/databases.md has the table.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { runDoctor } from '../../src/doctor/doctor.ts';
import { noOpenssl, writeCertificate } from '../harness/certificates.ts';
import { checkTable } from '../harness/doc-table.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { openMovingAddress } from '../harness/moving-address.ts';
import { freePort, listen, untilListening } from '../harness/port.ts';
import { webdist } from '../harness/process.ts';
import { noRedis, openRedisServer, REDIS_SERVER } from '../harness/redis.ts';
import { settingsIn, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const PASSWORD = 'hunter2';

async function start(t: Test, ...args: readonly string[]) {
  const server = await openRedisServer(...args);
  t.teardown(() => server.stop());
  return server;
}

async function admin(port: number, ...command: readonly string[]) {
  const client = new Redis(port, '127.0.0.1');
  try {
    const [name = '', ...args] = command;
    return await client.call(name, ...args);
  } finally {
    client.disconnect();
  }
}

/** A Redis with TLS, or one that also requires the client's certificate. */
async function startWithTls(t: Test, folder: string, clients: 'no' | 'yes') {
  const { key, certificate } = writeCertificate(folder);
  const port = await freePort();
  const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate];
  const child = spawn(REDIS_SERVER, ['--port', '0', '--tls-port', `${port}`, ...files, '--tls-auth-clients', clients], {
    cwd: folder,
    stdio: 'ignore',
  });
  t.teardown(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  await untilListening(port);
  return { url: `localhost:${port}`, certificate };
}

async function startSentinel(t: Test, folder: string, primary: number) {
  const port = await freePort();
  const config = join(folder, 'sentinel.conf');
  writeFileSync(config, `port ${port}\nsentinel monitor one 127.0.0.1 ${primary} 1\n`);
  const child = spawn(REDIS_SERVER, [config, '--sentinel'], { cwd: folder, stdio: 'ignore' });
  t.teardown(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  await untilListening(port);
  return port;
}

t.test('what is wrong with a Redis', { skip: noRedis || noOpenssl, timeout: 120_000 }, async (t) => {
  const folder = temporaryFolder(t as Test);
  const plain = await start(t as Test);
  const locked = await start(t as Test, '--requirepass', PASSWORD);
  const replica = await start(t as Test, '--replicaof', `127.0.0.1 ${plain.port}`);
  const cluster = await start(t as Test, '--cluster-enabled', 'yes', '--cluster-config-file', join(folder, 'nodes'));
  await admin(cluster.port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  const full = await start(t as Test, '--maxmemory', '1');
  const sentinel = await startSentinel(t as Test, folder, plain.port);
  const tls = await startWithTls(t as Test, folder, 'no');
  const user = (name: string, ...rules: string[]) =>
    admin(plain.port, 'ACL', 'SETUSER', name, 'on', `>${PASSWORD}`, ...rules);
  await user('enough', '~webdist-*', '+eval', '+incrby', '+pexpire', '+pttl', '+set');
  await user('no-eval', '~*', '+@all', '-eval');
  await user('no-set', '~*', '+@all', '-set');
  await user('other-keys', '~other', '+@all');
  const as = (name: string) => `redis://${name}:${PASSWORD}@127.0.0.1:${plain.port}`;
  const other = createServer((socket) => socket.on('error', () => undefined).write('220 mail.example.com ESMTP\r\n'));
  const otherPort = await listen(other);
  t.teardown(() => other.close());

  const cases: readonly (readonly [what: string, url: string, message: string])[] = [
    ['an ACL user with just the rights needed', as('enough'), 'ok'],
    [
      'nothing listens',
      'redis://127.0.0.1:1',
      'Redis cannot be reached: nothing listens at its address (ECONNREFUSED).',
    ],
    [
      'a name that is not in DNS',
      'redis://redis.invalid',
      'Redis cannot be reached: DNS does not know its name (ENOTFOUND).',
    ],
    ['a password is required, none is set', locked.url, 'Redis requires a password.'],
    ['a wrong password', `redis://:wrong@127.0.0.1:${locked.port}`, 'Redis rejects the user or the password.'],
    [
      'an ACL user without EVAL',
      as('no-eval'),
      'Redis does not allow this user the commands or the keys that webdist needs.',
    ],
    [
      'an ACL user without SET',
      as('no-set'),
      'Redis does not allow this user the commands or the keys that webdist needs.',
    ],
    [
      'an ACL user for other keys',
      as('other-keys'),
      'Redis does not allow this user the commands or the keys that webdist needs.',
    ],
    ['a replica', replica.url, 'Redis is a read-only replica.'],
    ['full memory', full.url, 'Redis refuses to write, because its memory is full.'],
    ['a cluster', cluster.url, 'Redis runs as a cluster (Redis Cluster), which webdist does not support.'],
    [
      'a cluster, with a database number',
      `${cluster.url}/1`,
      'Redis runs as a cluster (Redis Cluster), which webdist does not support.',
    ],
    [
      'a Sentinel',
      `redis://127.0.0.1:${sentinel}`,
      'Redis has no EVAL command: it is a Redis Sentinel, which webdist does not support, or EVAL is disabled.',
    ],
    ['`redis:` to a port with TLS', `redis://${tls.url}`, 'Redis closed the connection (ECONNRESET).'],
    [
      '`rediss:` to a port without TLS',
      `rediss://localhost:${plain.port}`,
      'Redis cannot be reached: it does not answer in time (ETIMEDOUT).',
    ],
    [
      'TLS, unknown CA',
      `rediss://${tls.url}`,
      'Redis has a certificate from an authority that this process does not know.',
    ],
    [
      'another kind of server',
      `redis://127.0.0.1:${otherPort}`,
      'Redis does not speak the Redis protocol: another kind of server is at this address.',
    ],
  ];
  const rows: string[][] = [];
  for (const [what, url, message] of cases)
    await t.test(what, async (t) => {
      const env = settingsIn(temporaryFolder(t as Test), { WEBDIST_REDIS_URL: url, WEBDIST_LEDGER: 'memory:' });
      const finding = (await runDoctor({ env })).find(({ id }) => id === 'redis');
      if (message === 'ok') t.match(finding, { result: 'ok' });
      else t.match(finding, { result: 'fail', found: message, hint: /./ });
      const isUnsupported = message.includes('does not support');
      const starting = startService(t as Test, undefined, env);
      if (isUnsupported) await t.rejects(starting, { code: 'config_invalid', detail: message });
      else {
        const { service, log } = await starting;
        const { redis } = service.health();
        if (message === 'ok') t.equal(redis.state, 'ok');
        else {
          t.ok(redis.detail?.startsWith(message), redis.detail ?? 'no detail');
          t.equal(log.events('redis_down').length, 1);
        }
        t.notMatch(log.text(), /hunter2|wrong/);
      }
      rows.push([
        what,
        message,
        isUnsupported ? 'refuses to start' : message === 'ok' ? 'counts together' : 'counts by itself',
      ]);
    });
  await t.test('a failover: the address moves, and the old primary becomes a replica', async (t) => {
    const [first, second] = [await start(t as Test), await start(t as Test)];
    const address = await openMovingAddress(t as Test, first.port);
    const env = { WEBDIST_REDIS_URL: `redis://127.0.0.1:${address.port}`, WEBDIST_LEDGER: 'memory:' };
    const { service, serverDeps, log } = await startService(
      t as Test,
      undefined,
      settingsIn(temporaryFolder(t as Test), env),
    );
    const { redis } = serverDeps;
    t.ok(redis && service.health().redis.state === 'ok');
    await admin(second.port, 'REPLICAOF', 'NO', 'ONE');
    address.moveTo(second.port);
    await admin(first.port, 'REPLICAOF', '127.0.0.1', `${second.port}`);
    const refused: unknown[] = [];
    const startedAt = Date.now();
    await until(
      () =>
        redis?.count([{ key: 'visitor', tokens: 1 }], 60_000).catch((error) => {
          refused.push(error.detail);
          return undefined;
        }),
      'requests to be counted together again',
    );
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    t.ok(refused.length > 0 && refused.length < 10, `${refused.length} requests were counted alone`);
    t.ok(refused.includes('Redis is a read-only replica.'));
    t.equal(await admin(second.port, 'EXISTS', 'webdist-limit-visitor'), 1);
    await until(() => service.health().redis.state === 'ok', 'the next check of Redis');
    t.match([log.events('redis_down').length, log.events('redis_back').length], [1, 1]);
    rows.push(['a failover', 'Redis is a read-only replica.', `counts together after ${seconds} s`]);
  });

  checkTable(t as Test, 'docs/databases.md', 'redis', ['Redis', 'message', 'webdist'], rows);

  await t.test('with the certificate trusted, TLS works; by another name it does not', async (t) => {
    const run = (url: string) =>
      webdist(['doctor', '--json'], {
        ...settingsIn(temporaryFolder(t as Test), { WEBDIST_REDIS_URL: url, WEBDIST_LEDGER: 'memory:' }),
        NODE_EXTRA_CA_CERTS: tls.certificate,
      });
    t.match((await run(`rediss://${tls.url}`)).stdout, 'it counts');
    const other = await run(`rediss://${tls.url.replace('localhost', '127.0.0.1')}`);
    t.match(other.stdout, 'Redis has a certificate for a different name than the one in the URL.');
  });
});
