/** All tests of `npm test`: one process for each folder of `test`, the longest first, so that none is left alone at the end. */

import { globSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { runFiles } from './harness/one-process.ts';

/** The folders that need most time, by measurement; the others follow, those with most files first. */
const longest = [
  'cli',
  'registration',
  'simulation',
  'http',
  'service',
  'processes',
  'ledger',
  'doctor',
  'registration/rotation',
  'sandbox/website',
  'sandbox/device',
  'redis',
].map((name) => `test/${name}`);

const filesIn = (folder: string) => globSync(`${folder}/*.test.ts`);

const folder = process.argv[2];
if (folder) runFiles(filesIn(folder));
else {
  const files = globSync('test/**/*.test.ts').filter((file) => !file.startsWith('test/nightly/'));
  const others = [...new Set(files.map(dirname))].filter((name) => !longest.includes(name));
  const folders = [...longest, ...others.sort((one, other) => filesIn(other).length - filesIn(one).length)];
  // tap has every process track its files, which takes a fifth of the CPU time and is needed only for coverage.
  const { NODE_OPTIONS, ...untracked } = process.env;
  const isTracked = process.env['COVERAGE'] !== undefined;
  const args = isTracked ? process.execArgv : ['--disable-warning=ExperimentalWarning'];
  const env = isTracked ? process.env : untracked;
  t.jobs = Number(process.env['TAP_JOBS'] ?? 1);
  t.setTimeout(0);
  for (const name of folders)
    t.spawn(process.execPath, [...args, import.meta.filename, name], { buffered: true, env }, name);
}
