/** Programs that a release runs, in the folder of the repository. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export const root: string = new URL('../../', import.meta.url).pathname;

type Description = {
  readonly version: string;
  readonly repository?: string | object;
  readonly dependencies: Readonly<Record<string, string>>;
};

/** package.json. */
export const description: Description = JSON.parse(readFileSync(new URL('package.json', `file://${root}`), 'utf8'));

/** Runs a program to its end, and shows what it prints. Throws if it fails. */
export function run(program: string, args: readonly string[], cwd = root): void {
  execFileSync(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Runs a program and returns its stdout. Throws if it fails. */
export const outputOf = (program: string, args: readonly string[], cwd = root): string =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 });

/** Whether a program works here. */
export const works = (program: string, args: readonly string[]): boolean => spawnSync(program, args).status === 0;
