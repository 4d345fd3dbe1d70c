/** A website for the simulated device: webdist, packages and the licence stub at one URL, with their own clock. */

import type { Test } from 'tap';
import { type DeviceOptions, openDevice } from '../../src/sandbox/device/device.ts';
import type { Journey } from '../../src/sandbox/device/journey.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { sandboxWebsite } from '../../src/sandbox/website/website.ts';
import { appsByName } from '../../src/service/app-named.ts';
import { call, DOMAINS } from './apple-client.ts';
import { askToken } from './http.ts';
import { startSandbox } from './sandbox.ts';
import { startReady } from './service.ts';
import { until } from './until.ts';

export const APP = '6500000001';
const NO_LIMIT = '100000';

export async function startWebsite(t: Test, more: Record<string, string> = {}) {
  const clock = { now: Date.now() };
  const now = () => clock.now;
  const sandbox = await startSandbox(t, { now });
  const settings = { WEBDIST_RATE_LIMIT: NO_LIMIT, WEBDIST_RATE_LIMIT_ADDRESS: NO_LIMIT, ...more };
  const options = { now, pages: sandboxWebsite(sandbox) };
  const { service, serverDeps, url } = await startReady(t, sandbox, settings, options);
  const app = appsByName(serverDeps.config.apps)(APP);
  await until(() => serverDeps.catalogue.currentOf(app), 'a package');
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
