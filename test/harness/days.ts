/**
 * A clock that a test moves by days: the test's own clock, and that of whole programs, which get their time from days.c.
 */

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from './folder.ts';

/** Why clocks of programs cannot be moved here, or false. */
export const noDays: string | false =
  process.platform !== 'linux'
    ? 'preloading a library needs Linux'
    : spawnSync('cc', ['--version']).status !== 0 && 'cc is not installed';

export type Days = {
  /** The time in milliseconds since 1970. */
  now(): number;
  /** Moves this clock, and those of the programs that run with `env`, to this many days after the real time. */
  moveTo(days: number): void;
  readonly env: Readonly<Record<string, string>>;
};

export function openDays(t: Test): Days {
  const folder = temporaryFolder(t);
  const [library, file] = [join(folder, 'days.so'), join(folder, 'seconds')];
  const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, join(import.meta.dirname, 'days.c')]);
  if (built.status !== 0) throw new Error(String(built.stderr));
  const seconds = openSync(file, 'w');
  t.teardown(() => closeSync(seconds));
  let aheadSeconds = 0;
  const days: Days = {
    now: () => Date.now() + aheadSeconds * 1000,
    moveTo(count) {
      aheadSeconds = count * 86_400;
      writeSync(seconds, new BigInt64Array([BigInt(aheadSeconds)]), 0, 8, 0);
    },
    env: { LD_PRELOAD: library, MOVED_CLOCK: file },
  };
  days.moveTo(0);
  return days;
}
