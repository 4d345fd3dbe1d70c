#!/usr/bin/env -S node --
/**
 * Starts the command line. An older Node.js gets one sentence; the rest of the program is loaded only after that, because
 * such a version cannot even load it. The "--" above prevents Node.js from reading webdist's options, such as --env-file,
 * as its own. An option that an older Node.js does not have would prevent the sentence.
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
