/** Rate limits of one process, and of replicas that count in Redis (docs/http-api.md, "Errors"). */

import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { post } from '../../harness/http.ts';
import { noRedis, openRedisServer } from '../../harness/redis.ts';
import { settingsIn, startService } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const PAGE = { origin: 'https://shop.example.com' };

async function open(test: Test, more: Environment) {
  const env = { WEBDIST_LEDGER: 'memory:', WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here', ...more };
  const service = await startService(test, undefined, settingsIn(test.testdir(), env));
  return {
    ...service,
    ask: (cookie?: string) => post(`${service.url}/install-token`, {}, cookie ? { cookie } : {}),
    async redisState() {
      const health = (await (await fetch(`${service.url}/health/ready`)).json()) as { redis: { state: string } };
      return health.redis.state;
    },
    async metric(name: string) {
      const text = await (await fetch(`${service.url}/metrics`)).text();
      return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
    },
  };
}

t.test('one visitor, then one address, sends too many requests', async (test) => {
  const { ask } = await open(test, { WEBDIST_RATE_LIMIT: '3', WEBDIST_RATE_LIMIT_ADDRESS: '7' });
  const { cookie } = await ask();
  const statuses = [];
  for (let count = 0; count < 4; count++) statuses.push((await ask(cookie)).status);
  test.strictSame(statuses, [200, 200, 200, 429]);
  const { body, headers } = await ask(cookie);
  test.equal(body['code'], 'rate_limited');
  test.ok(Number(headers.get('retry-after')) > 0 && Number(headers.get('retry-after')) <= 60);
  test.match(headers.get('ratelimit'), /^"visitor";r=0;t=\d+, "address";r=1;t=\d+$/);
  test.equal(headers.get('ratelimit-policy'), '"visitor";q=3;w=60, "address";q=7;w=60');
  const other = await ask('webdist_device=forged.forged');
  test.equal(other.status, 200, 'another visitor behind the same address may still ask');
  test.equal((await ask('webdist_device=forged.forged')).status, 429, 'until the address has asked too often');
});

t.test('a visitor without a cookie counts under its address, whatever X-Forwarded-For contains', async (test) => {
  const { url } = await open(test, { WEBDIST_RATE_LIMIT: '1', WEBDIST_RATE_LIMIT_ADDRESS: '3' });
  const answers = [];
  for (let count = 0; count < 4; count++)
    answers.push(await post(`${url}/install-token`, {}, { ...PAGE, 'x-forwarded-for': `203.0.113.${count}` }));
  test.strictSame(
    answers.map(({ status }) => status),
    [200, 200, 200, 429],
  );
  test.equal(answers[3]?.headers.get('access-control-allow-origin'), PAGE.origin, 'the page can read the refusal');
});

t.test('with Redis', { skip: noRedis }, async (t) => {
  const redis = await openRedisServer();
  t.teardown(() => redis.stop());
  const shared = { WEBDIST_REDIS_URL: redis.url, WEBDIST_RATE_LIMIT: '10', WEBDIST_RATE_LIMIT_ADDRESS: '100000' };

  await t.test('two replicas count together, and Redis holds no address and no visitor', async (test) => {
    const replicas = [await open(test as Test, shared), await open(test as Test, shared)] as const;
    test.equal(await replicas[0].redisState(), 'ok');
    const { cookie = '' } = await replicas[0].ask();
    const statuses = [];
    for (let count = 0; count < 14; count++)
      statuses.push((await replicas[count % 2 === 0 ? 0 : 1].ask(cookie)).status);
    test.equal(statuses.filter((status) => status === 200).length, 10);
    const client = new Redis(redis.url);
    const keys = (await client.keys('*')).join(' ');
    client.disconnect();
    test.match(keys, /webdist-limit-/);
    test.notMatch(keys, /127\.0\.0\.1/);
    test.notMatch(keys, /visitor|address/);
  });

  await t.test(
    'Redis is down or hangs: counted in the process, logged once, and used again by itself',
    async (test) => {
      const { ask, redisState, metric, log } = await open(test as Test, shared);
      const told = (name: string) => log.events(name).length;
      // Visitors without a cookie count under their address, which is the same for all of these.
      const visitors: (string | undefined)[] = [];
      for (let count = 0; count < 6; count++) visitors.push((await ask()).cookie);
      const limited = async () => {
        const cookie = visitors.pop();
        const statuses = [];
        for (let count = 0; count < 12; count++) statuses.push((await ask(cookie)).status);
        return statuses.filter((status) => status === 429).length;
      };
      // On a busy machine, Redis can be too slow for a moment at any time.
      const redisCounts = () =>
        until(async () => {
          await ask(visitors[0]);
          return (await redisState()) === 'ok';
        }, 'Redis counts');
      test.equal(await limited(), 2);
      test.equal(await metric('webdist_redis_failures_total'), 0);
      for (const [trouble, hint] of [
        [() => redis.stop(), () => redis.start()],
        [() => process.kill(redis.pid(), 'SIGSTOP'), () => process.kill(redis.pid(), 'SIGCONT')],
      ] as const) {
        await redisCounts();
        const before = await metric('webdist_redis_failures_total');
        const toldBefore = told('redis_down');
        await trouble();
        test.equal(await limited(), 2, 'the limit holds for this replica');
        test.equal(await redisState(), 'degraded');
        test.ok((await metric('webdist_redis_failures_total')) > before);
        test.equal(told('redis_down'), toldBefore + 1);
        await hint();
        await redisCounts();
        test.equal(await limited(), 2);
      }
    },
  );

  await t.test('a service starts without Redis', async (test) => {
    await redis.stop();
    const { ask, redisState } = await open(test as Test, shared);
    test.equal(await redisState(), 'degraded');
    test.equal((await ask()).status, 200);
    await redis.start();
    await until(async () => {
      await ask();
      return (await redisState()) === 'ok';
    }, 'Redis is there');
  });
});
