/** A website for the simulated device: webdist, packages and the licence stub at one URL, with their own clock. */

import type { Test } from 'tap';
import { readConfig } from '../../src/config/config.ts';
import { buildServer } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import { type DeviceOptions, openDevice } from '../../src/sandbox/device/device.ts';
import type { Journey } from '../../src/sandbox/device/journey.ts';
import { openSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';
import { sandboxWebsite } from '../../src/sandbox/website/website.ts';
import { appsByName } from '../../src/service/app-named.ts';
import { openService } from '../../src/service/service.ts';
import { call, DOMAINS } from './apple-client.ts';
import { temporaryFolder } from './folder.ts';
import { askToken } from './http.ts';
import { until } from './until.ts';

export const APP = '6500000001';
const NO_LIMIT = '100000';

export async function startWebsite(t: Test) {
  const clock = { now: Date.now() };
  const now = () => clock.now;
  const sandbox = await openSandbox({ dataDir: temporaryFolder(t), now });
  const env = {
    ...sandbox.settings,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_RATE_LIMIT: NO_LIMIT,
    WEBDIST_RATE_LIMIT_ADDRESS: NO_LIMIT,
  };
  const log = openLog('silent');
  const config = readConfig(env);
  const { service, serverDeps } = await openService(config, { env, log, now });
  const server = await buildServer({ ...serverDeps, pages: sandboxWebsite(sandbox) });
  const app = appsByName(config.apps)(APP);
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    await server.close();
    await service.close();
    await sandbox.close();
  });
  await until(() => service.health().ready && serverDeps.catalogue.currentOf(app), 'ready');
  await hasDomain(sandbox);
  return {
    clock,
    sandbox,
    url,
    /** Releases the next version, and waits until the service knows it. */
    async release() {
      await fetch(`${sandbox.baseUrl}/_sandbox/packages`, { method: 'POST' });
      await service.reconcile();
    },
  };
}

/** A service is ready to sign before its domain is registered, which the device requires. */
export const hasDomain = (sandbox: Sandbox) =>
  until(async () => (await call(sandbox, 'GET', DOMAINS)).body.meta.paging.total === 1, 'a registered domain');

export type Website = Awaited<ReturnType<typeof startWebsite>>;

export const deviceFor = ({ url, sandbox }: Website, options: Partial<DeviceOptions> = {}) =>
  openDevice({ website: url, domain: 'example.com', judge: sandbox.device, ...options });

/** The link of a page; the same cookie is the same device. */
export async function linkOf({ url }: Website, headers: Record<string, string> = {}) {
  const answer = await askToken(url, {}, headers);
  const { installUrl } = (await answer.json()) as { installUrl: string };
  return { installUrl, cookie: answer.headers.getSetCookie()[0]?.split(';')[0] ?? '' };
}

export const refusalOf = ({ steps }: Journey) => steps.find(({ ok }) => !ok);
