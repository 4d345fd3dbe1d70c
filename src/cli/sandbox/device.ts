/**
 * `webdist sandbox device install`: lets the simulated device install from a website, update, reinstall and restore,
 * and prints every step. Packages, licences and verdicts come from the sandbox. In sandbox mode the website passes them
 * on; otherwise they are at the address of `webdist sandbox`.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { WebdistError } from '../../errors.ts';
import { openDevice } from '../../sandbox/device/device.ts';
import type { Journey } from '../../sandbox/device/journey.ts';
import type { DeviceProfile } from '../../sandbox/device/profile.ts';
import { sandboxPath } from '../../sandbox/website/website.ts';
import { type JsonOption, print, resultLine, say } from '../terminal.ts';

type Options = JsonOption & {
  readonly sandbox?: string;
  readonly app?: string;
  readonly pause?: number;
  readonly once?: boolean;
  readonly wait?: number;
  readonly page?: URL;
  readonly platform?: DeviceProfile['platform'];
  readonly os?: string;
  readonly model?: string;
  readonly region?: string;
};

/** Long enough in sandbox mode. Any other service reads its package's manifest about every five minutes. */
const NOTICED_SECONDS = 15;
const RETRY_MS = 2000;

const linkAnswer = z.object({ installUrl: z.string() });
const configuration = z.object({ restore: z.url() });
const release = z.object({ shortVersionString: z.string() });
const verdict = z.object({
  accepted: z.boolean(),
  checks: z.array(
    z.object({
      name: z.string(),
      line: z.number(),
      ok: z.boolean(),
      detail: z.string(),
      warning: z.literal(true).optional(),
    }),
  ),
});

export async function install(address: string, options: Options): Promise<void> {
  const { app, once, pause, wait = NOTICED_SECONDS, json, page, platform, os: osVersion, model, region } = options;
  const website = originOf(address);
  const sandbox = options.sandbox === undefined ? website : originOf(options.sandbox);
  const domain = await domainOf(website);
  await ask(`${sandbox}/_sandbox/device`, { method: 'DELETE' });
  const link = openPage(website, page?.origin ?? `https://${domain}`, app);
  const device = openDevice({
    website,
    domain,
    profile: {
      ...(platform && { platform }),
      ...(osVersion && { osVersion }),
      ...(model && { model }),
      ...(region && { region }),
    },
    ...(sandbox !== website && { fetch: besideWebsite(sandbox) }),
    async judge(request) {
      const { accepted, checks } = verdict.parse(await post(`${sandbox}/_sandbox/device`, request));
      return { accepted, checks: checks.map(({ warning, ...check }) => (warning ? { ...check, warning } : check)) };
    },
  });
  const journeys: Record<string, Journey> = {};
  const show = async (name: string, journey: Promise<Journey>): Promise<boolean> => {
    const { steps, accepted } = await journey;
    journeys[name] = await journey;
    const lines = steps.map((step) => resultLine(step.ok ? 'ok' : 'fail', `${step.name}: ${step.detail}`, '  '));
    if (!json) print(undefined, false, [name, ...lines]);
    return accepted;
  };
  const update = async () => {
    const { shortVersionString } = release.parse(await post(`${sandbox}/_sandbox/packages`, {}));
    return updated(device.update, shortVersionString, wait);
  };
  const reinstall = async () => {
    await delay((pause ?? 0) * 1000);
    for (const { appleItemId } of device.apps()) device.remove(appleItemId);
    return device.install(await link(), page?.href);
  };
  const others = async () => {
    const journey = await update();
    if (journey === undefined) return true;
    return (
      (await show('update', Promise.resolve(journey))) &&
      (await show('delete and reinstall', reinstall())) &&
      (await show('restore from backup', device.restoreFromBackup()))
    );
  };
  const isInstalled = await show('install', device.install(await link(), page?.href));
  const accepted = isInstalled && (once || (await others()));
  if (json) print(journeys, json, []);
  if (!accepted) throw new WebdistError('package_invalid', 'The simulated device did not install the app; see above.');
}

/** Repeats the update journey until the service knows about the new version; undefined if that takes too long. */
async function updated(
  update: () => Promise<Journey>,
  version: string,
  waitSeconds: number,
): Promise<Journey | undefined> {
  const end = performance.now() + waitSeconds * 1000;
  for (let isAnnounced = false; ; isAnnounced = true) {
    const journey = await update();
    const isNothingNew = journey.steps.some(({ ok, name, detail }) => !ok && name === 'device' && /newer/.test(detail));
    if (!isNothingNew) return journey;
    if (!isAnnounced)
      say(`Version ${version} is released. Waiting for the service to notice it; send it SIGHUP to speed this up.`);
    if (performance.now() > end) {
      say(
        'It has not noticed the version, so the update and the steps after it are skipped. To wait longer: --wait 400',
      );
      return undefined;
    }
    await delay(RETRY_MS);
  }
}

/** Opens the website's page; returns a function that fetches a new link, with the device cookie. */
function openPage(website: string, origin: string, app: string | undefined): () => Promise<string> {
  let cookie = '';
  return async () => {
    const headers = { origin, ...(cookie && { cookie }) };
    const { body, cookies } = await sent(`${website}/install-token`, app === undefined ? {} : { app }, headers);
    cookie ||= cookies[0]?.split(';')[0] ?? '';
    return linkAnswer.parse(body).installUrl;
  };
}

/** Returns the website's domain, from its MarketplaceKit configuration. */
async function domainOf(website: string): Promise<string> {
  const { body } = await ask(`${website}/.well-known/marketplace-kit`, {});
  return new URL(configuration.parse(body).restore).hostname;
}

/** Fetches packages and licences from the sandbox; in sandbox mode, the website serves them itself. */
const besideWebsite =
  (sandbox: string): typeof fetch =>
  (input, init) => {
    const path = sandboxPath(new URL(String(input)).pathname);
    return fetch(path === undefined ? input : `${sandbox}${path}`, init);
  };

function originOf(address: string): string {
  const { origin, protocol } = URL.parse(address) ?? {};
  if (origin && /^https?:$/.test(protocol ?? '')) return origin;
  throw new WebdistError('usage_invalid', `"${address}" is not an http or https address.`);
}

const post = async (url: string, body: object) => (await sent(url, body)).body;

const sent = (url: string, body: object, headers: Record<string, string> = {}) =>
  ask(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });

const NO_SANDBOX = 'Run the service in sandbox mode, or use --sandbox with the address of `webdist sandbox`.';

async function ask(url: string, request: RequestInit) {
  const answer = await fetch(url, request).catch((cause) => {
    throw new WebdistError('usage_invalid', `Nothing answers at ${url}.`, {
      hint: 'Start webdist (npm start), and use its address.',
      cause,
    });
  });
  const body: unknown = await answer.json().catch(() => undefined);
  if (answer.ok) return { body, cookies: answer.headers.getSetCookie() };
  const detail = z.object({ detail: z.string() }).safeParse(body).data?.detail;
  throw new WebdistError('usage_invalid', `${url} answered ${answer.status}${detail ? `: ${detail}` : '.'}`, {
    ...(new URL(url).pathname.startsWith('/_sandbox/') && { hint: NO_SANDBOX }),
  });
}
