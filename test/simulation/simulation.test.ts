/** The fleet in virtual time: a short run of the simulation, its determinism, and a planted bug (docs/simulation.md). */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { simulate } from './simulate.ts';

/** Seeds of 3.6 s, in two processes. They were all run before; a slow machine runs the first ones of each process. */
const SEEDS = 100;
const SECONDS = 8;

t.test('short histories break no invariant', async (t) => {
  const limits = ['--seeds', String(SEEDS), '--seconds', String(SECONDS), '--hours', '0.001'];
  const runs = await Promise.all(['1', String(1 + SEEDS)].map((seed) => simulate('--seed', seed, ...limits)));
  for (const { code, output } of runs) {
    t.equal(code, 0, output);
    t.match(output, /^seeds \d+ to \d+: 0 violations, \d+ events/m);
    t.comment(output.trim());
  }
});

t.test('the same seed gives the same history, byte for byte', async (t) => {
  const [many, last] = ['many', 'last'].map((name) => join(t.testdir(), name)) as [string, string];
  // After other seeds, and alone in another process.
  await Promise.all([
    simulate('--seed', '12', '--seeds', '4', '--hours', '0.003', '--trace', many),
    simulate('--seed', '15', '--hours', '0.003', '--trace', last),
  ]);
  t.ok(readFileSync(last, 'utf8').split('\n').length > 20);
  t.equal(readFileSync(many, 'utf8'), readFileSync(last, 'utf8'));
});

t.test('a planted bug is found, and its history is shrunk to a story', async (t) => {
  const bug = 'the window is forgotten';
  const { code, output } = await simulate('--seed', '16', '--hours', '0.006', '--bug', bug);
  t.equal(code, 1, output);
  t.match(output, /seed 16 breaks "download before evidence"/);
  const [, steps = '', of = ''] = /The shortest history found has (\d+) of (\d+) steps/.exec(output) ?? [];
  t.ok(Number(steps) <= 3 && Number(of) > 3, `${steps} of ${of} steps`);
  t.match(output, /device \d+ installs from replica \d/);
  t.match(output, /VIOLATION: download before evidence/);
});

t.test('options that cannot be used are named', async (t) => {
  for (const [option, value] of [
    ['--seed', 'abc'],
    ['--seed', '1.5'],
    ['--seeds', '0'],
    ['--seconds', '0'],
    ['--hours', 'x'],
    ['--bug', 'no such bug'],
  ] as const) {
    const { code, output } = await simulate(option, value);
    t.equal(code, 2, `${option} ${value}`);
    t.match(output, new RegExp(`^simulate: .*${value}.*\\n$`), output);
  }
});
