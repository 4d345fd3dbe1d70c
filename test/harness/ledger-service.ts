/** A webdist to ask over HTTP: in this process, or a real process of its own that can be killed. Signs with a key made now; Apple is not asked. */

import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { readConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/environment.ts';
import { buildServer } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import { openService } from '../../src/service/service.ts';

const ORIGIN = 'https://shop.example.com';

/** Settings of a service that keeps everything below a folder. */
export function settingsIn(folder: string, more: Environment = {}): Environment {
  const key = join(folder, 'key.pem');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(key, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  return {
    HOST: '127.0.0.1',
    PORT: '0',
    WEBDIST_MODE: 'production',
    WEBDIST_DOMAIN: 'shop.example.com',
    WEBDIST_APPLE_ITEM_ID: '6500000001',
    WEBDIST_BUNDLE_ID: 'com.example.trailmap',
    WEBDIST_KEY: pathToFileURL(key).href,
    WEBDIST_REGISTER: 'off',
    WEBDIST_KEY_ID: '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11',
    WEBDIST_DATA_DIR: join(folder, 'data'),
    WEBDIST_RATE_LIMIT: '1000000',
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
    ...more,
  };
}

type LogLine = Readonly<Record<string, unknown>>;

/** A service in this process. `now` is its clock, in milliseconds. */
export async function openHere(env: Environment, now: () => number = Date.now) {
  const config = readConfig(env);
  const lines: LogLine[] = [];
  const log = openLog('info', { write: (text: string) => void lines.push(JSON.parse(text)) });
  const service = await openService(config, { env, log, now });
  const { app } = await buildServer({ service, log });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    service,
    lines,
    async close() {
      await app.close();
      await service.close();
    },
  };
}

export type ServiceProcess = {
  readonly url: string;
  readonly child: ChildProcess;
  readonly lines: readonly LogLine[];
  /** Ends it, at once with SIGKILL or in order with SIGINT. */
  end(signal: 'SIGKILL' | 'SIGINT'): Promise<void>;
};

/** `webdist serve` as a process; resolves once it listens. */
export async function startService(env: Environment, program = 'src/main.ts'): Promise<ServiceProcess> {
  const child = spawn(process.execPath, ['--', resolve(program), 'serve'], {
    // Compiled once for all the processes a test starts.
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: join(tmpdir(), 'webdist-test-compile-cache'), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: LogLine[] = [];
  const url = await new Promise<string>((listening, reject) => {
    child.once('exit', (code) => reject(new Error(`The service ended with ${code}.`)));
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as LogLine;
      lines.push(line);
      if (line['event'] === 'listening') listening(String(line['address']));
    });
  });
  return {
    url,
    child,
    lines,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
  };
}

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** Of an answer without a body: an empty object. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The device cookie that was set. */
  readonly cookie: string | undefined;
};

/** A POST of JSON, as a page of the website sends it unless other headers are given. */
export async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: ORIGIN, ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : JSON.parse(text),
    cookie: /webdist_device=[^;]+/.exec(response.headers.getSetCookie().join())?.[0],
  };
}

/** Calls until the outcome is as wanted, for at most a minute: for what other processes do in their own time. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const giveUpAt = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new Error(`Waited in vain: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
