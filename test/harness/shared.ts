/** Servers, and the built package, that all test files of a run share. The first file that needs one starts its keeper (keeper.ts), a process of its own. */

import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnNode } from './process.ts';
import { until } from './until.ts';

/** The process that ends with the run: tap itself; for a test file that is started without tap, that file. */
const run = process.env['TAP'] ? process.ppid : process.pid;

/** When a process started, so that another one with the same pid is not taken for it. */
export function startedAt(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** The address of the run's server of a kind. */
export async function sharedServer(kind: 'postgres' | 'redis' | 'chromium' | 'package'): Promise<string> {
  const folder = join(tmpdir(), `webdist-test-run-${run}-${startedAt(run)}`);
  const [address, log] = [join(folder, kind), join(folder, `${kind}.log`)];
  mkdirSync(folder, { recursive: true });
  if (isFirst(`${address}.lock`))
    spawnNode(
      [join(import.meta.dirname, 'keeper.ts'), kind, folder, String(run)],
      { HOME: process.env['HOME'] },
      {
        detached: true,
        stdio: ['ignore', openSync(log, 'a'), openSync(log, 'a')],
      },
    ).unref();
  return until(
    () => existsSync(address) && readFileSync(address, 'utf8'),
    () => `the ${kind} of this run\n${readFileSync(log, 'utf8')}`,
    180,
  );
}

/** Whether this process is the first to create the folder at `path`. */
function isFirst(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
