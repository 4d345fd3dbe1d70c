/** Starts the real things for tests: the sandbox, a service in this process, a service as a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { readConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/environment.ts';
import { buildServer, type Server } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import { openSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';
import { openService, type Service } from '../../src/service/service.ts';

/** Waits until `probe` gives something; fails loudly when it never does. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  what: string | (() => string),
  seconds = 60,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const value = await probe();
    if (value) return value;
    await delay(25);
  }
  throw new Error(`never came: ${typeof what === 'string' ? what : what()}`);
}

/** A new folder that goes away with the test; `t.testdir()` would be the same one each time. */
export function temporaryFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'webdist-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export async function startSandbox(t: Test): Promise<Sandbox> {
  const sandbox = await openSandbox({ dataDir: temporaryFolder(t) });
  t.teardown(() => sandbox.close());
  return sandbox;
}

/** Requests the sandbox saw, as `POST /v1/…`, optionally of one method. */
export async function requestsSeen(sandbox: Sandbox, method?: string): Promise<string[]> {
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/requests`);
  const seen = (await answer.json()) as { method: string; path: string }[];
  return seen.filter((one) => method === undefined || one.method === method).map((one) => `${one.method} ${one.path}`);
}

export async function setFault(sandbox: Sandbox, fault: object): Promise<void> {
  const body = JSON.stringify(fault);
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/faults`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  if (!answer.ok) throw new Error(await answer.text());
}

export async function endFaults(sandbox: Sandbox): Promise<void> {
  await fetch(`${sandbox.baseUrl}/_sandbox/faults`, { method: 'DELETE' });
}

/** Everything written to a log, as text. */
function captured() {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return {
    stream,
    text: () => lines.join(''),
    events: (name: string) => lines.filter((line) => line.includes(`"event":"${name}"`)),
  };
}

export type Running = Server & {
  service: Service;
  url: string;
  log: ReturnType<typeof captured>;
  stop(): Promise<void>;
};

/** A service and its server in this process, listening on a free port, with the sandbox's settings below `settings`. */
export async function startService(
  t: Test,
  sandbox: Sandbox | undefined,
  settings: Environment = {},
  now?: () => number,
): Promise<Running> {
  const env = { ...sandbox?.settings, WEBDIST_DATA_DIR: temporaryFolder(t), PORT: '0', ...settings };
  const config = readConfig(env);
  const log = captured();
  const logger = openLog('debug', log.stream);
  const service = await openService(config, { env, log: logger, ...(now && { now }) });
  const server = await buildServer({ service, log: logger });
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 });
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    await server.close();
    await service.close();
  };
  t.teardown(stop);
  return { ...server, service, url, log, stop };
}

/** The same, once it is ready. */
export async function startReady(...args: Parameters<typeof startService>): Promise<Running> {
  const running = await startService(...args);
  await until(() => running.service.health().ready, 'a ready service');
  return running;
}

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

/** Asks for a token as a page of the website does. */
export function askToken(url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://example.com', ...headers },
    body: JSON.stringify(body),
  });
}

/** Waits until a service answers that it is ready. */
export const isReady = (url: string) =>
  until(async () => (await fetch(`${url}/health/ready`)).ok, `${url} to be ready`);
