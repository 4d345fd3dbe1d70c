/** Inputs of one tick of the event loop are processed together, and each caller gets the output of its own input. */

import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { batchPerTick } from '../src/batch.ts';

/** Doubles numbers and records which arrived together. */
function doubling() {
  const ticks: (readonly number[])[] = [];
  const double = batchPerTick(async (inputs: readonly number[]) => {
    ticks.push(inputs);
    return inputs.map((input) => input * 2);
  });
  return { ticks, double };
}

t.test('the inputs of a tick are processed together, and each has its own output', async (t) => {
  const { ticks, double } = doubling();
  t.strictSame(await Promise.all([1, 2, 3].map(double)), [2, 4, 6]);
  t.strictSame(ticks, [[1, 2, 3]]);
});

t.test('inputs that arrive while the work is in progress belong to the next tick', async (t) => {
  const ticks: (readonly string[])[] = [];
  const { promise: disk, resolve: written } = Promise.withResolvers<void>();
  const record = batchPerTick(async (inputs: readonly string[]) => {
    ticks.push(inputs);
    if (ticks.length === 1) await disk;
    return inputs;
  });
  const early = record('early');
  await setImmediate();
  const late = record('late');
  await setImmediate();
  t.equal(await late, 'late', 'does not wait for the work of an earlier tick');
  written();
  t.equal(await early, 'early');
  t.strictSame(ticks, [['early'], ['late']]);
});

t.test('a single input does not wait', async (t) => {
  const { ticks, double } = doubling();
  const answer = double(21);
  await setImmediate();
  t.strictSame(ticks, [[21]], 'is processed at the end of its own tick');
  t.equal(await answer, 42);
});

t.test('a failure affects its own tick only', async (t) => {
  let isBroken = true;
  const record = batchPerTick(async (inputs: readonly number[]) => {
    if (isBroken) throw new Error('the disk is full');
    return inputs;
  });
  const settled = await Promise.allSettled([record(1), record(2)]);
  t.strictSame(
    settled.map((one) => one.status === 'rejected' && one.reason.message),
    ['the disk is full', 'the disk is full'],
  );
  isBroken = false;
  t.equal(await record(3), 3);
});
