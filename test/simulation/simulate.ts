/** Runs the simulation as a process of its own, because it replaces the clock of the process that it runs in. */

import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { spawnNode } from '../harness/process.ts';

/** Resolves with the exit code, and with everything that was printed. */
export async function simulate(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const main = join(import.meta.dirname, 'main.ts');
  const child = spawnNode(
    ['--disable-warning=ExperimentalWarning', main, ...args],
    {},
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (!child.stdout || !child.stderr) throw new Error('The process has no output.');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, output: stdout + stderr };
}
