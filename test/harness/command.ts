/** Runs `webdist …` to its end as an operator does: a process of its own, stdout and stderr apart. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Environment } from '../../src/environment.ts';

export type Transcript = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Nothing of this process's environment gets there but PATH. */
export async function webdist(args: readonly string[], env: Environment = {}, stdin = ''): Promise<Transcript> {
  const child = spawn(process.execPath, ['--', 'src/main.ts', ...args], { env: { PATH: process.env['PATH'], ...env } });
  // A command that does not read stdin has closed it.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, stdout, stderr };
}

/** The parsed stdout of a command with `--json`: one line. */
export async function webdistJson<T>(args: readonly string[], env: Environment = {}): Promise<T> {
  const { code, stdout, stderr } = await webdist([...args, '--json'], env);
  if (code !== 0 || stdout.trim().includes('\n')) throw new Error(`exit ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
}
