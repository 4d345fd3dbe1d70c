/** Runs `webdist …` as a process of its own, with nothing of this process's environment but PATH. */

import { type ChildProcess, type ChildProcessWithoutNullStreams, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import type { Environment } from '../../src/environment.ts';

/** Sources are compiled once for all processes that tests start. */
const compileCache = { NODE_COMPILE_CACHE: join(tmpdir(), 'webdist-test-compile-cache') };

/**
 * Starts Node.js. tap has every process load its file tracking, through NODE_OPTIONS, which more than doubles what a
 * command needs to start (0.53 s instead of 0.20 s of CPU for `token mint`); it is needed only for coverage, so `env`
 * removes it. `within` is a command line that runs the program given to it (small-disk.ts).
 */
export function spawnNode(
  args: readonly string[],
  env: Environment,
  { within = [], ...options }: SpawnOptions & { readonly within?: readonly string[] } = {},
) {
  const { NODE_OPTIONS } = env;
  const own = NODE_OPTIONS === undefined ? ['-u', 'NODE_OPTIONS'] : [`NODE_OPTIONS=${NODE_OPTIONS}`];
  const command = process.env['COVERAGE'] ? [] : ['env', ...own];
  const [program = '', ...rest] = [...within, ...command, process.execPath, ...args];
  return spawn(program, rest, { ...options, env: { PATH: process.env['PATH'], ...compileCache, ...env } });
}

type How = { readonly program?: string | undefined; readonly within?: readonly string[] };

const spawnWebdist = (args: readonly string[], env: Environment, { program = 'src/main.ts', within = [] }: How = {}) =>
  spawnNode(['--', resolve(program), ...args], env, { within }) as ChildProcessWithoutNullStreams;

export type Command = {
  readonly child: ChildProcess;
  /** Everything written so far, stdout and stderr together. */
  output(): string;
  /** The exit code; null after a signal. */
  readonly exited: Promise<number | null>;
  /** Ends the process, unless it has ended. */
  end(signal: 'SIGKILL' | 'SIGINT'): Promise<void>;
};

function openCommand(args: readonly string[], env: Environment, how?: How): Command {
  const child = spawnWebdist(args, env, how);
  child.stdin.on('error', () => undefined).end();
  let written = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (written += chunk));
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return {
    child,
    output: () => written,
    exited,
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

/** Starts a command; it is killed when the test ends. */
export function runWebdist(t: Test, args: readonly string[], env: Environment = {}, how?: How): Command {
  const command = openCommand(args, env, how);
  t.teardown(() => command.end('SIGKILL'));
  return command;
}

type Transcript = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Runs a command to its end. */
export async function webdist(args: readonly string[], env: Environment = {}, stdin = ''): Promise<Transcript> {
  const child = spawnWebdist(args, env);
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

export type Process = Command & { readonly url: string };

/** `webdist serve`; resolves once it listens, and fails when it ends before. The caller ends it. */
export async function openProcess(env: Environment, how?: How): Promise<Process> {
  const command = openCommand(['serve'], { PORT: '0', ...env }, how);
  const listening = new Promise<string>((resolve) => {
    const read = () => {
      const url = /"event":"listening","address":"([^"]+)"/.exec(command.output())?.[1];
      if (!url) return;
      // Otherwise every line of the log would cost a search of all before it.
      command.child.stdout?.off('data', read);
      resolve(url);
    };
    command.child.stdout?.on('data', read);
  });
  const url = await Promise.race([listening, command.exited]);
  if (typeof url !== 'string') throw new Error(`The service ended with ${url}.\n${command.output()}`);
  return { ...command, url };
}

/** The same, until the test ends. */
export async function startProcess(t: Test, env: Environment, how?: How): Promise<Process> {
  const running = await openProcess(env, how);
  t.teardown(() => running.end('SIGKILL'));
  return running;
}
