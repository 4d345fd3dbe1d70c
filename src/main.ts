#!/usr/bin/env -S node --
/**
 * Starts the command line. On an older Node.js, prints one sentence and ends. The rest of the program is loaded only
 * after this check, because such a version cannot even load it. The "--" above prevents Node.js from reading webdist's
 * options, such as --env-file, as its own. It has no options that an older Node.js lacks, because these would prevent the
 * sentence.
 */

import { nodeProblem } from './version.ts';

const problem = nodeProblem(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`webdist: ${problem}\n`);
  process.exit(1);
}
// Without a listener, a SIGUSR1 opens Node's inspector, which runs any code.
process.on('SIGUSR1', () => undefined);
await import('./cli/main.ts');
