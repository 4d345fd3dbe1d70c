/** The README is correct: its commands exist, and it starts with the two that a newcomer runs. */

import { readFileSync } from 'node:fs';
import t from 'tap';

const readme = readFileSync('README.md', 'utf8');
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const shell = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((block) => (block[1] ?? '').trim().split('\n'));

t.strictSame(shell.slice(0, 2), ['npm ci && npm start', 'npm ci && npm test'], 'the first commands');
t.ok(shell.length > 5);
for (const command of shell.flatMap((line) => line.split(' && '))) {
  const script = /^npm (?:run (?:-s )?)?([a-z]+)/.exec(command)?.[1];
  if (!script)
    t.match(
      command,
      /^(export [A-Z_]+=\S+|docker (build|run|compose) .*|curl -s -X POST localhost:8080\/install-token .*)$/,
      'a line a test knows',
    );
  else t.ok(script === 'ci' || scripts[script], `${command}: the script exists`);
}
t.equal(readme.match(/Node\.js from version|Node (≥|>=)/g)?.length, 1, 'the Node requirement is stated once');
