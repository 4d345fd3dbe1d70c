/** The counters of the rate limits: a map in memory and Redis count the same, and the map stays bounded. */

import { Redis } from 'ioredis';
import t from 'tap';
import { openMemoryCounter } from '../../../src/http/limits/counters.ts';
import { type Counted, openRedisConnection, type RedisConnection } from '../../../src/redis/connection.ts';
import { noRedis, openRedisServer } from '../../harness/redis.ts';

const WINDOW_MS = 60_000;

type Backend = {
  count(counted: readonly Counted[]): Promise<readonly { readonly count: number; readonly endsInMs: number }[]>;
  /** Advances the time of every window. */
  pass(ms: number): Promise<void>;
};

function inMemory(): Backend {
  let nowMs = 1000;
  const counter = openMemoryCounter({ windowMs: WINDOW_MS, maxKeys: 1000, nowMs: () => nowMs });
  return {
    count: async (counted) => counted.map(({ key, tokens }) => counter(key, tokens)),
    async pass(ms) {
      nowMs += ms;
    },
  };
}

/** Redis has its own clock: time is advanced by shortening the life of every key. */
function inRedis(client: Redis, connection: RedisConnection): Backend {
  return {
    count: (counted) => connection.count(counted, WINDOW_MS),
    async pass(ms) {
      for (const key of await client.keys('webdist-limit-*')) await client.pexpire(key, (await client.pttl(key)) - ms);
    },
  };
}

/** Each key counts one token unless `tokens` has another number for it. */
type Step =
  | { readonly keys: readonly string[]; readonly tokens?: readonly number[]; readonly counts: readonly number[] }
  | { readonly passMs: number };

const cases: Readonly<Record<string, readonly Step[]>> = {
  'one key': [
    { keys: ['a'], counts: [1] },
    { keys: ['a'], counts: [2] },
    { keys: ['a'], counts: [3] },
  ],
  'several keys in one call, in order, each with a count of its own': [
    { keys: ['a', 'b'], counts: [1, 1] },
    { keys: ['b', 'c', 'a'], counts: [2, 1, 2] },
  ],
  'several tokens at once': [
    { keys: ['a', 'b'], tokens: [5, 1], counts: [5, 1] },
    { keys: ['a', 'b'], tokens: [1, 200], counts: [6, 201] },
    { passMs: 61_000 },
    { keys: ['a'], tokens: [3], counts: [3] },
  ],
  'the same key twice in a call': [{ keys: ['a', 'a'], counts: [1, 2] }],
  'a window begins with the first request of its key': [
    { keys: ['a'], counts: [1] },
    { passMs: 40_000 },
    { keys: ['a', 'b'], counts: [2, 1] },
    { passMs: 19_000 },
    { keys: ['a', 'b'], counts: [3, 2] },
    { passMs: 2000 },
    { keys: ['a', 'b'], counts: [1, 3] },
    { passMs: 40_000 },
    { keys: ['a', 'b'], counts: [2, 1] },
  ],
  'a request beyond any limit does not extend the window': [
    { keys: ['a'], counts: [1] },
    { passMs: 59_000 },
    { keys: ['a'], counts: [2] },
    { passMs: 2000 },
    { keys: ['a'], counts: [1] },
  ],
  'after a long pause everything is forgotten': [
    { keys: ['a', 'b'], counts: [1, 1] },
    { passMs: 500_000 },
    { keys: ['a', 'b'], counts: [1, 1] },
    { keys: ['a', 'b'], counts: [2, 2] },
  ],
  'keys with any characters': [
    { keys: ['visitor 2001:db8:0:0', 'ü \n\0 {}'], counts: [1, 1] },
    { keys: ['ü \n\0 {}'], counts: [2] },
  ],
};

async function follows(t: Tap, backend: Backend, steps: readonly Step[]): Promise<void> {
  for (const [index, step] of steps.entries()) {
    if ('passMs' in step) {
      await backend.pass(step.passMs);
      continue;
    }
    const counted = await backend.count(step.keys.map((key, at) => ({ key, tokens: step.tokens?.[at] ?? 1 })));
    t.strictSame(
      counted.map(({ count }) => count),
      step.counts,
      `step ${index + 1}: ${step.keys.join(', ')}`,
    );
    for (const { count, endsInMs } of counted) {
      t.ok(endsInMs > 0 && endsInMs <= WINDOW_MS, `a window of at most ${WINDOW_MS} ms`);
      if (count === 1) t.ok(endsInMs > WINDOW_MS - 1000, 'a new window has its full length');
    }
  }
}
type Tap = Pick<typeof t, 'strictSame' | 'ok'>;

t.test('in memory', async (t) => {
  for (const [name, steps] of Object.entries(cases)) await t.test(name, (t) => follows(t, inMemory(), steps));

  await t.test('at most twice `maxKeys` are held, and the oldest are forgotten first', async (t) => {
    const counter = openMemoryCounter({ windowMs: WINDOW_MS, maxKeys: 10, nowMs: () => 0 });
    const countOf = (key: string) => counter(key, 1).count;
    countOf('old');
    for (let n = 0; n < 9; n++) countOf(`first ${n}`);
    for (let n = 0; n < 5; n++) countOf(`second ${n}`);
    t.equal(countOf('old'), 2, 'still counted');
    for (let n = 5; n < 20; n++) countOf(`second ${n}`);
    t.equal(countOf('second 19'), 2, 'a recent one is counted');
    t.equal(countOf('old'), 1, 'an old one was forgotten');
  });
});

t.test('in Redis', { skip: noRedis }, async (t) => {
  const server = await openRedisServer();
  t.teardown(() => server.stop());
  const client = new Redis(server.url);
  t.teardown(() => client.disconnect());
  const connection = await openRedisConnection(server.url, { answerMs: 5000 });
  t.teardown(() => connection.close());
  for (const [name, steps] of Object.entries(cases))
    await t.test(name, async (t) => {
      await client.flushall();
      await follows(t, inRedis(client, connection), steps);
    });

  await t.test('every key expires', async (t) => {
    await client.flushall();
    await connection.count([{ key: 'a', tokens: 3 }], WINDOW_MS);
    t.ok((await client.pttl('webdist-limit-a')) > 0);
  });
});
