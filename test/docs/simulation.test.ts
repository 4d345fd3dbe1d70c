/** docs/simulation.md has every invariant and every planted bug of the simulation, and each bug can be planted. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { invariants } from '../simulation/invariants.ts';
import { plantedBugs } from '../simulation/planted-bugs.ts';

const page = readFileSync('docs/simulation.md', 'utf8');

t.test('every invariant is on the page', async (t) => {
  for (const { name, promise } of invariants) t.match(page, `| ${name} | ${promise} |`);
});

t.test('every planted bug is on the page', async (t) => {
  for (const { name } of plantedBugs) t.match(page, `| ${name} |`);
});

t.test('the text that a planted bug replaces occurs once', async (t) => {
  for (const { name, file, find } of plantedBugs) t.equal(readFileSync(file, 'utf8').split(find).length, 2, name);
});
