/** The tests that start no process and no server: `npm run test:fast`. */

import { existsSync, globSync } from 'node:fs';
import { importsOf } from './imports.ts';
import { runFiles } from './one-process.ts';

/** Everything in `test` that a file imports, itself included. */
function reachable(file: string, seen = new Set<string>()): Set<string> {
  seen.add(file);
  for (const { target } of importsOf(file))
    if (target.startsWith('test/') && existsSync(target) && !seen.has(target)) reachable(target, seen);
  return seen;
}

const slow = ['node:child_process', 'node:http', 'src/http/server.ts', 'src/sandbox/sandbox.ts'];
const isSlow = (file: string) => importsOf(file).some(({ target }) => slow.includes(target));

runFiles(
  globSync('test/**/*.test.ts').filter(
    (file) => !/^test\/(nightly|fuzz|containers)\//.test(file) && ![...reachable(file)].some(isSlow),
  ),
);
