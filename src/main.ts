#!/usr/bin/env -S node --disable-warning=ExperimentalWarning --disable-sigusr1 --
/**
 * Starts the command line. An older Node.js gets one sentence; the rest of the program is loaded only after that, because
 * such a version cannot even load it. The "--" above prevents Node.js from reading webdist's options, such as --env-file,
 * as its own. "--disable-sigusr1" prevents a SIGUSR1 from opening Node's inspector, which runs any code. Node.js 24 calls its
 * SQLite, which is the same, experimental.
 */

import { nodeProblem } from './version.ts';

const problem = nodeProblem(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`webdist: ${problem}\n`);
  process.exit(1);
}
await import('./cli/main.ts');
