/** The simulation finds planted bugs, and a long run without one finds nothing (docs/simulation.md). */

import t from 'tap';
import { plantedBugs } from '../../simulation/planted-bugs.ts';
import { simulate } from '../../simulation/simulate.ts';

/** The limits of a search: of its seeds, and in seconds of processor time. Most searches need a few seconds. */
const SEEDS = '300';
const SECONDS = '120';
/** Short runs: the scenarios have lengths of their own. */
const HOURS = '0.003';

t.test('planted bugs', async (t) => {
  t.jobs = 2;
  for (const { name } of plantedBugs)
    t.test(`found: ${name}`, async (t) => {
      const limits = ['--seeds', SEEDS, '--seconds', SECONDS, '--hours', HOURS];
      const { code, output } = await simulate(...limits, '--bug', name, '--no-story');
      t.equal(code, 1, output);
      t.match(output, /^seed \d+ breaks/);
      t.comment(`${name}: ${output.split('\n')[0]}`);
    });
});

// Short runs have many beginnings, long ones have quiet times.
for (const [seed, seeds, hours] of [
  ['1000', '400', '0.001'],
  ['2000', '12', '0.06'],
] as const)
  t.test(`${seeds} runs of ${hours} h break no invariant`, async (t) => {
    const { code, output } = await simulate('--seed', seed, '--seeds', seeds, '--hours', hours);
    t.equal(code, 0, output);
    t.comment(output.trim());
  });
