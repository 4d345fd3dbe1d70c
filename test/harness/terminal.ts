/** A command at a terminal, which util-linux' `script` provides. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import type { Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { until } from './until.ts';

/** Why there is no terminal, or false. */
export const noTerminal: string | false =
  spawnSync('script', ['--version']).status !== 0 && 'script (util-linux) is not installed';

/** Starts `webdist …` at a terminal; it is killed when the test ends. */
export function openTerminal(t: Test, command: string, env: Environment) {
  const child = spawn('script', ['-qec', `"${process.execPath}" -- src/main.ts ${command}`, '/dev/null'], {
    env: { PATH: process.env['PATH'], TERM: 'xterm', COLUMNS: '200', ...env },
  });
  t.teardown(() => child.kill('SIGKILL'));
  let written = '';
  let atInput = 0;
  child.stdout.on('data', (chunk) => (written += chunk));
  const sinceInput = () => stripVTControlCharacters(written.slice(atInput));
  return {
    /** Everything that was written, with its control sequences. */
    screen: () => written,
    /** Waits until the end of what was written since the last input matches, and returns it, without its control sequences. */
    async shows(end: RegExp): Promise<string> {
      await until(
        () => end.test(sinceInput()),
        () => `${end}\n${written}`,
      );
      return sinceInput();
    },
    type(input: string): void {
      atInput = written.length;
      child.stdin.write(input);
    },
    /** The exit code. */
    ended: once(child, 'close').then(([code]) => code as number | null),
  };
}
