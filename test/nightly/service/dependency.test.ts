/**
 * A dependency that fails only for some uses is reported as down throughout, instead of alternating between down and up.
 */

import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { WebdistError } from '../../../src/errors.ts';
import { openLog } from '../../../src/log.ts';
import { openMetrics } from '../../../src/metrics.ts';
import { watchDependency } from '../../../src/service/dependency.ts';
import { until } from '../../harness/until.ts';

const ANSWER_MS = 50;
const TROUBLE_MS = 4000;
/** The checks of a dependency that is down are a second apart. */
const EVERY_MS = 300;

const never = () => new Promise<never>(() => undefined);

/** How a use fails, and whether the check repeats it. Slow uses are reported only if the check is slow, too. */
const kinds: readonly (readonly [name: string, isRepeatable: boolean, fail: () => Promise<unknown>])[] = [
  ['some uses take too long', true, never],
  ['some connections break', true, () => Promise.reject(new Error('ECONNRESET'))],
  ['some uses are refused', false, () => Promise.reject(new WebdistError('ledger_unavailable', 'It is read-only.'))],
  ['the same, repeated', true, () => Promise.reject(new WebdistError('ledger_unavailable', 'It is read-only.'))],
];

async function open(t: Test, isRepeatable: boolean) {
  const events: string[] = [];
  const write = (line: string) => void events.push(JSON.parse(line).event);
  const dependency = await watchDependency({
    name: 'redis',
    ping: async () => undefined,
    isRepeatable,
    answerMs: ANSWER_MS,
    meanwhile: 'the test waits',
    metrics: openMetrics(),
    log: openLog('info', { write }),
  });
  t.teardown(dependency.close);
  return { dependency, events };
}

t.jobs = 3;
for (const [name, isRepeatable, fail] of kinds)
  t.test(name, { buffered: true }, async (t) => {
    const { dependency, events } = await open(t, isRepeatable);
    let isInTrouble = true;
    const use = () => (isInTrouble ? fail() : Promise.resolve());
    const trouble = () =>
      Promise.allSettled([dependency.use(use), dependency.use(async () => undefined), delay(EVERY_MS)]);
    await until(async () => (await trouble()) && dependency.problem !== undefined, 'a report');
    for (const endMs = performance.now() + TROUBLE_MS; performance.now() < endMs; ) {
      await trouble();
      t.not(dependency.problem, undefined);
    }
    t.strictSame(events, ['redis_down']);
    isInTrouble = false;
    await until(() => dependency.problem === undefined, 'the end');
    t.strictSame(events, ['redis_down', 'redis_back']);
  });

t.test('a single answer that is late is not an outage', async (t) => {
  for (const isRepeatable of [false, true]) {
    const { dependency, events } = await open(t, isRepeatable);
    let isLate = true;
    await t.rejects(dependency.use(() => (isLate ? never() : Promise.resolve())));
    isLate = false;
    for (let n = 0; n < 20; n++) await dependency.use(() => delay(ANSWER_MS / 5));
    t.strictSame([dependency.problem, events], [undefined, []]);
  }
});

t.test('an answer that has arrived counts, even if this process was too busy to read it in time', async (t) => {
  const { dependency, events } = await open(t, false);
  for (let n = 0; n < 5; n++) {
    const answered = dependency.use(() => stat('.'));
    // This thread is blocked while the answer arrives.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * ANSWER_MS);
    t.ok(await answered);
  }
  t.strictSame(events, []);
});
