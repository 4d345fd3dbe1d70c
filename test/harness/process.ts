/** Runs `webdist` as a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { until } from './until.ts';

export type Process = { child: ChildProcess; url: string; output(): string; exited: Promise<number | null> };

/** Runs `webdist …` as a process of its own, with nothing of this process's environment but PATH. */
export function runWebdist(t: Test, args: readonly string[], env: Environment = {}): Omit<Process, 'url'> {
  const child = spawn(process.execPath, ['--', 'src/main.ts', ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  const exited = once(child, 'close').then(([code]) => code as number | null);
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    await exited;
  });
  return { child, output: () => text, exited };
}

/** Starts `webdist serve` as a process and waits until it listens. */
export async function startProcess(t: Test, env: Environment): Promise<Process> {
  const running = runWebdist(t, ['serve'], { PORT: '0', ...env });
  const url = await until(
    () => /"event":"listening","address":"([^"]+)"/.exec(running.output())?.[1],
    () => `a listening process\n${running.output()}`,
  );
  return { ...running, url };
}
