/** Starts servers and loads as processes, pinned to separate cores where the system supports that. */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Environment } from '../../src/environment.ts';
import type { Load, Loaded } from './load.ts';
import type { Kind, Used } from './server.ts';

/** The API key with which the benchmarks call as a server. */
export const API_KEY = 'bench';

export type ServerProcess = {
  readonly url: string;
  /** Returns what the server has used so far; with `sign`, also measures a bare signature. */
  used(what?: 'sign'): Promise<Used>;
  /** Where it keeps its data (`data`) and its log (`log`). */
  readonly folder: string;
  stop(): Promise<void>;
};

const succeeds = (program: string, ...args: string[]) => {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

const canPin = availableParallelism() > 1 && succeeds('taskset', '-V');
export const hasGo = succeeds('go', 'version');
export const hasCargo = succeeds('cargo', 'version');

/** Servers run on core 0 (or on all cores they are given), loads on core 1. */
const pinned = (core: string | undefined, command: readonly string[]): [string, string[]] => {
  const [program = '', ...args] = canPin && core !== undefined ? ['taskset', '-c', core, ...command] : command;
  return [program, args];
};

type ServerOptions = { readonly core?: string; readonly profile?: string; readonly settings?: Environment };

/** Builds the Go program once; returns its path. */
export function buildGo(): string {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bench-go-'));
  execFileSync('go', ['build', '-o', join(folder, 'bench'), '.'], { cwd: join(import.meta.dirname, 'go') });
  return join(folder, 'bench');
}

/** Builds the Rust program, which takes a minute the first time; returns its path. Its dependencies come from crates.io. */
export function buildRust(): string {
  const target = join(tmpdir(), 'webdist-bench-rust');
  const args = ['build', '--release', '--locked', '--quiet', '--target-dir', target];
  execFileSync('cargo', args, { cwd: join(import.meta.dirname, 'rust') });
  return join(target, 'release', 'bench');
}

/**
 * Starts a server of a kind, or a built program with the same protocol; resolves once it listens. Node runs it with the
 * options of this process. `profile`: where V8 writes a CPU profile. `settings`: for the full server.
 */
export async function startServer(
  kind: Kind | { readonly program: string },
  { core = '0', profile, settings = {} }: ServerOptions = {},
): Promise<ServerProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bench-'));
  const command =
    typeof kind === 'string'
      ? [
          process.execPath,
          ...process.execArgv,
          ...(profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : []),
          join(import.meta.dirname, 'server.ts'),
          kind,
          folder,
        ]
      : [kind.program];
  const child = spawn(...pinned(core, command), {
    stdio: ['pipe', openSync(join(folder, 'log'), 'a'), 'inherit', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      NODE_ENV: 'production',
      BENCH_SETTINGS: JSON.stringify(settings),
      BENCH_API_KEY_SHA256: createHash('sha256').update(API_KEY).digest('hex'),
    },
  });
  const { stdin } = child;
  if (!stdin) throw new Error('The server has no stdin.');
  const lines = createInterface({ input: child.stdio[3] as Readable })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`The server "${JSON.stringify(kind)}" ended.`);
    return JSON.parse(value);
  };
  const { url } = (await next()) as { url: string };
  return {
    url,
    folder,
    async used(what) {
      stdin.write(`${what ?? 'used'}\n`);
      return (await next()) as Used;
    },
    async stop() {
      const ended = once(child, 'exit');
      stdin.end();
      if (typeof kind !== 'string') child.kill();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a load against a server to its end. */
export async function runLoad(load: Load): Promise<Loaded> {
  const [program, args] = pinned('1', [process.execPath, join(import.meta.dirname, 'load.ts'), JSON.stringify(load)]);
  const { stdout } = await promisify(execFile)(program, args);
  return JSON.parse(stdout) as Loaded;
}
