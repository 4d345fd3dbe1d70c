/** The required version of Node.js is stated once, in package.json, and an older one prints one sentence. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { nodeProblem } from '../src/version.ts';

const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } };
const needed = Number(/\d+/.exec(engines.node)?.[0]);

for (const running of ['18.20.4', '20.20.2', '22.21.1', `${needed - 1}.99.0`]) {
  const problem = nodeProblem(running) ?? '';
  t.match(
    problem,
    new RegExp(`^This is Node\\.js ${running.replaceAll('.', '\\.')}, but webdist needs Node\\.js ${needed} or later`),
  );
  t.equal(problem.split('\n').length, 1);
}
for (const running of [`${needed}.0.0`, `${needed}.10.0`, `${needed + 1}.0.0`, process.versions.node])
  t.equal(nodeProblem(running), undefined, running);

// What an older Node.js loads before the check must be loadable by it.
const imports = [...readFileSync('src/main.ts', 'utf8').matchAll(/^import .* from '(.+)';$/gm)].map(([, from]) => from);
t.strictSame(imports, ['./version.ts']);
t.match(readFileSync('src/main.ts', 'utf8'), /^#!\/usr\/bin\/env -S node --\n/, 'no option that it would refuse');
