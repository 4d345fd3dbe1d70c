/** Starts a service in this process: the real server on a real port, with its own data folder and a recorded log. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import { readConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/environment.ts';
import { buildServer, type Server, type ServerOptions } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { type OpenedService, openService } from '../../src/service/service.ts';
import { recordResponses, violationsIn } from './described.ts';
import { temporaryFolder } from './folder.ts';
import { until } from './until.ts';

type LogLine = Readonly<Record<string, unknown>>;

/** A log at debug level that records what is written to it. */
function captureLog() {
  const written: string[] = [];
  return {
    stream: { write: (text: string) => void written.push(text) },
    text: () => written.join(''),
    lines: (): LogLine[] => written.map((line) => JSON.parse(line)),
    /** The lines of one event, as text. */
    events: (name: string) => written.filter((line) => line.includes(`"event":"${name}"`)),
  };
}

export type Running = Server &
  OpenedService & {
    url: string;
    log: ReturnType<typeof captureLog>;
    stop(): Promise<void>;
  };

export type ServiceOptions = Pick<ServerOptions, 'pages' | 'overloadLimits'> & {
  /** The service's clock, in milliseconds since 1970. */
  readonly now?: () => number;
  /** See `Clock.timeOriginMs`: by default, no clock is set. */
  readonly timeOriginMs?: () => number;
};

/**
 * A service that listens on a free port, with `settings` on top of the sandbox's. It stops with the test, which fails if a
 * response was not as the API's description says.
 */
export async function startService(
  t: Test,
  sandbox: Pick<Sandbox, 'settings'> | undefined,
  settings: Environment = {},
  { now, timeOriginMs, ...server }: ServiceOptions = {},
): Promise<Running> {
  const dataDir = settings['WEBDIST_DATA_DIR'] ?? temporaryFolder(t);
  const env = { ...sandbox?.settings, PORT: '0', ...settings, WEBDIST_DATA_DIR: dataDir };
  const config = readConfig(env);
  const log = captureLog();
  const logger = openLog('debug', log.stream);
  const { service, serverDeps } = await openService(config, {
    env,
    log: logger,
    ...(now && { now }),
    ...(timeOriginMs && { timeOriginMs }),
  });
  const { app, ...others } = await buildServer({ ...serverDeps, ...server });
  // With an operator port, the description is of both servers, and neither has all of it.
  const responses = others.operators ? [] : recordResponses(app);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  let isStopped = false;
  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    const violations = await violationsIn(app, responses);
    const closed = others.close();
    // Otherwise the server would wait a second for the next request on them.
    app.server.closeIdleConnections();
    await closed;
    await service.close();
    if (violations.length > 0) throw new Error(`Not as in /openapi.json:\n${violations.join('\n')}`);
  };
  t.teardown(stop);
  return { app, ...others, service, serverDeps, url, log, stop };
}

/** The same, once it can sign. */
export async function startReady(...args: Parameters<typeof startService>): Promise<Running> {
  const running = await startService(...args);
  await until(() => running.service.health().ready, 'a ready service');
  return running;
}

/** Waits until the service at `url`, in this or another process, reports that it is ready. */
export const isReady = (url: string) =>
  until(async () => (await fetch(`${url}/health/ready`)).ok, `${url} to be ready`);

/** Settings of a service that needs no App Store Connect: a new key in `folder`, and the key id that Apple would report. */
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

/** The same for several apps with that key: `com.example.app0` (6500000100), `com.example.app1` … and their packages. */
export function settingsOfApps(folder: string, count: number, more: Environment = {}): Environment {
  const {
    WEBDIST_APPLE_ITEM_ID,
    WEBDIST_BUNDLE_ID,
    WEBDIST_KEY: key,
    WEBDIST_KEY_ID: keyId,
    ...others
  } = settingsIn(folder);
  const apps = Array.from({ length: count }, (_, index) => ({
    bundleId: `com.example.app${index}`,
    appleItemId: String(6500000100 + index),
    packageUrl: `https://shop.example.com/app${index}`,
    packageManifest: pathToFileURL(join(folder, 'no-manifest.json')).href,
    key,
    keyId,
  }));
  const file = join(folder, 'apps.json');
  writeFileSync(file, JSON.stringify({ apps }));
  return { ...others, WEBDIST_CONFIG: file, ...more };
}
