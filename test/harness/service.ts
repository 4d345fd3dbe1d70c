/** Starts a service in this process. */

import { Writable } from 'node:stream';
import type { Test } from 'tap';
import { readConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/environment.ts';
import { buildServer, type Server } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { openService, type Service } from '../../src/service/service.ts';
import { temporaryFolder } from './folder.ts';
import { until } from './until.ts';

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

/** Waits until a service answers that it is ready. */
export const isReady = (url: string) =>
  until(async () => (await fetch(`${url}/health/ready`)).ok, `${url} to be ready`);
