/**
 * Three replicas as processes, with one PostgreSQL, one Redis and one App Store Connect, behind a round-robin load
 * balancer: a device sees one service.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { post } from '../harness/http.ts';
import { noPostgres, sharedPostgres } from '../harness/postgres.ts';
import { type Process, startProcess } from '../harness/process.ts';
import { noRedis, sharedRedisUrl } from '../harness/redis.ts';
import { replicaSettings, sharedAsOne, TOKEN_LIFETIME_SECONDS } from '../harness/replicated.ts';
import { openRoundRobin } from '../harness/round-robin.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady } from '../harness/service.ts';

t.setTimeout(90_000);

const KEY = 'a-key-for-this-test';

t.test('three replicas', { skip: noPostgres || noRedis }, async (test) => {
  const folder = test.testdir();
  const postgres = await sharedPostgres();
  const redisUrl = await sharedRedisUrl();
  const sandbox = await startSandbox(test);
  const databaseUrl = await postgres.freshUrl();
  const start = (name: string, env: Record<string, string> = {}) =>
    startProcess(test, {
      ...sandbox.settings,
      ...replicaSettings,
      HOST: '127.0.0.1',
      PORT: '0',
      WEBDIST_MODE: 'production',
      WEBDIST_DATA_DIR: join(folder, name),
      WEBDIST_LEDGER: databaseUrl,
      WEBDIST_REDIS_URL: redisUrl,
      WEBDIST_API_KEYS: `test:${createHash('sha256').update(KEY).digest('hex')}`,
      ...env,
    });
  const replicas: Process[] = [];
  replicas.push(...(await Promise.all(['one', 'two', 'three'].map((name) => start(name)))));
  const balancer = await openRoundRobin(replicas.map(({ url }) => url));
  test.teardown(() => balancer.close());
  await Promise.all(replicas.map(({ url }) => isReady(url)));

  await sharedAsOne(test, balancer.url);

  const asServer = { authorization: `Bearer ${KEY}` };
  const ofPhone = () => post(`${balancer.url}/install-token`, { subject: 'phone' }, asServer);
  await post(`${balancer.url}/installs`, { app: sandbox.settings['WEBDIST_BUNDLE_ID'], subject: 'phone' }, asServer);
  const inside = await Promise.all([ofPhone(), ofPhone(), ofPhone()]);
  test.strictSame([...new Set(inside.map(({ body }) => body['dtype']))], ['download']);
  // Advances the ledger by a minute, by dating its records back.
  await postgres.admin(
    `UPDATE webdist_install SET redownload_at = redownload_at - ${TOKEN_LIFETIME_SECONDS}`,
    databaseUrl,
  );
  const outside = await Promise.all([ofPhone(), ofPhone(), ofPhone()]);
  test.strictSame([...new Set(outside.map(({ body }) => body['dtype']))], ['redownload'], 'for every replica');

  const created = (await requestsOf(sandbox.baseUrl)).filter(
    ({ method, path, status }) => method === 'POST' && status === 201 && /istributionKeys/.test(path),
  );
  test.equal(created.length, 1, 'the key was registered once');
  const keyIds = new Set(inside.map(({ body }) => body['keyId']));
  test.equal(keyIds.size, 1, 'all sign under the same key id');

  // Apple is down, and a fourth replica with an empty disk starts: it gets the key id from the others.
  await sandbox.close();
  const fourth = await start('four');
  replicas.push(fourth);
  const answer = await post(`${fourth.url}/install-token`, {});
  test.strictSame([answer.status, answer.body['keyId']], [200, [...keyIds][0]]);
});

async function requestsOf(baseUrl: string) {
  const response = await fetch(new URL('/_sandbox/requests', baseUrl));
  return (await response.json()) as { method: string; path: string; status: number }[];
}
