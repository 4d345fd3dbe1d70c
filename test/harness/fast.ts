/** Prints the test files that start no process: no browser, no database, no command. `npm run test:fast` runs them. */

import { existsSync, globSync } from 'node:fs';
import { importsOf } from './imports.ts';

/** Everything in `test` that a file imports, itself included. */
function reachable(file: string, seen = new Set<string>()): Set<string> {
  seen.add(file);
  for (const { target } of importsOf(file))
    if (target.startsWith('test/') && existsSync(target) && !seen.has(target)) reachable(target, seen);
  return seen;
}

const startsProcesses = (file: string) => importsOf(file).some(({ target }) => target === 'node:child_process');

const fast = globSync('test/**/*.test.ts').filter((file) => ![...reachable(file)].some(startsProcesses));
process.stdout.write(`${fast.sort().join('\n')}\n`);
