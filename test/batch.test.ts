/** What arrives in one turn of the event loop is done together; everyone gets the answer to what they asked. */

import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { batchPerTick } from '../src/batch.ts';

/** Doubles numbers and notes which came together. */
function doubling() {
  const turns: (readonly number[])[] = [];
  const double = batchPerTick(async (inputs: readonly number[]) => {
    turns.push(inputs);
    return inputs.map((input) => input * 2);
  });
  return { turns, double };
}

t.test('the inputs of a turn are worked on together, and each has its own output', async (t) => {
  const { turns, double } = doubling();
  t.strictSame(await Promise.all([1, 2, 3].map(double)), [2, 4, 6]);
  t.strictSame(turns, [[1, 2, 3]]);
});

t.test('what comes while the work goes on is the next turn', async (t) => {
  const turns: (readonly string[])[] = [];
  const { promise: disk, resolve: written } = Promise.withResolvers<void>();
  const record = batchPerTick(async (inputs: readonly string[]) => {
    turns.push(inputs);
    if (turns.length === 1) await disk;
    return inputs;
  });
  const early = record('early');
  await setImmediate();
  const late = record('late');
  await setImmediate();
  t.equal(await late, 'late', 'does not wait for the work of an earlier turn');
  written();
  t.equal(await early, 'early');
  t.strictSame(turns, [['early'], ['late']]);
});

t.test('one alone waits for no other', async (t) => {
  const { turns, double } = doubling();
  const answer = double(21);
  await setImmediate();
  t.strictSame(turns, [[21]], 'is worked on at the end of its own turn');
  t.equal(await answer, 42);
});

t.test('what fails, fails for its turn only', async (t) => {
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
