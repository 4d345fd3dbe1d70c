/** The simulation finds planted bugs, and a long run without one finds nothing (docs/simulation.md). */

import t from 'tap';
import { plantedBugs } from '../../simulation/planted-bugs.ts';
import { simulate } from '../../simulation/simulate.ts';

t.test('a long run breaks no invariant', async (t) => {
  const { code, output } = await simulate('--seed', '1000', '--seeds', '150', '--hours', '0.05');
  t.equal(code, 0, output);
  t.comment(output.trim());
});

for (const { name } of plantedBugs.filter(({ isNotFoundYet }) => !isNotFoundYet))
  t.test(`found: ${name}`, async (t) => {
    const { code, output } = await simulate('--seeds', '150', '--hours', '0.05', '--bug', name, '--no-story');
    t.equal(code, 1, output);
    t.match(output, /^seed \d+ breaks/);
    t.comment(output.split('\n')[0]);
  });
