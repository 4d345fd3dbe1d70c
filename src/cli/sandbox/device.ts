/**
 * `webdist sandbox device`: the simulated iPhone, told to install from a website, update, reinstall and restore, step by
 * step. The packages, the licences and what the phone says of tokens are the sandbox's: behind the website in sandbox
 * mode, else at an address of its own.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { WebdistError } from '../../errors.ts';
import { type Journey, openPhone } from '../../sandbox/device/journey.ts';
import { sandboxPath } from '../../sandbox/website/website.ts';
import { type JsonOption, print, resultWord, say } from '../terminal.ts';

type Options = JsonOption & {
  readonly sandbox?: string;
  readonly app?: string;
  readonly pause?: number;
  readonly once?: boolean;
};

/** A service looks at its package's manifest every five minutes, give or take one. */
const NOTICED_MS = 400_000;
const LOOK_AGAIN_MS = 2000;

const linkAnswer = z.object({ installUrl: z.string() });
const configuration = z.object({ restore: z.url() });
const release = z.object({ shortVersionString: z.string() });
const verdict = z.object({
  accepted: z.boolean(),
  checks: z.array(
    z.object({ name: z.string(), ok: z.boolean(), detail: z.string(), warning: z.literal(true).optional() }),
  ),
});

export async function install(address: string, options: Options): Promise<void> {
  const { app, once, pause, json } = options;
  const website = originOf(address);
  const sandbox = options.sandbox === undefined ? website : originOf(options.sandbox);
  const domain = await domainOf(website);
  await ask(`${sandbox}/_sandbox/device`, { method: 'DELETE' });
  const link = openPage(website, domain, app);
  const phone = openPhone({
    website,
    domain,
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
    const lines = steps.map((step) => `  ${resultWord(step.ok ? 'ok' : 'fail')}  ${step.name}: ${step.detail}`);
    if (!json) print(undefined, false, [name, ...lines]);
    return accepted;
  };
  const update = async () => {
    const { shortVersionString } = release.parse(await post(`${sandbox}/_sandbox/packages`, {}));
    return updated(phone.update, shortVersionString);
  };
  const reinstall = async () => {
    await delay((pause ?? 0) * 1000);
    for (const { appleItemId } of phone.apps()) phone.remove(appleItemId);
    return phone.install(await link());
  };
  const accepted =
    (await show('install', phone.install(await link()))) &&
    (once ||
      ((await show('update', update())) &&
        (await show('delete and reinstall', reinstall())) &&
        (await show('restore from backup', phone.restoreFromBackup()))));
  if (json) print(journeys, json, []);
  if (!accepted) throw new WebdistError('package_invalid', 'The simulated device does not install; see above.');
}

/** The update journey, once the service knows that there is something newer. */
async function updated(look: () => Promise<Journey>, version: string): Promise<Journey> {
  const end = Date.now() + NOTICED_MS;
  for (let isTold = false; ; isTold = true) {
    const journey = await look();
    const isNothingNew = journey.steps.some(({ ok, name, detail }) => !ok && name === 'device' && /newer/.test(detail));
    if (!isNothingNew || Date.now() > end) return journey;
    if (!isTold) say(`Version ${version} is out. Waiting for the service to see it: within minutes, or now on SIGHUP.`);
    await delay(LOOK_AGAIN_MS);
  }
}

/** The website's page in the phone's browser: gives a function that gets a fresh link, with the device cookie. */
function openPage(website: string, domain: string, app: string | undefined): () => Promise<string> {
  let cookie = '';
  return async () => {
    const headers = { origin: `https://${domain}`, ...(cookie && { cookie }) };
    const { body, cookies } = await sent(`${website}/install-token`, app === undefined ? {} : { app }, headers);
    cookie ||= cookies[0]?.split(';')[0] ?? '';
    return linkAnswer.parse(body).installUrl;
  };
}

/** The website's domain is where its configuration sends devices. */
async function domainOf(website: string): Promise<string> {
  const { body } = await ask(`${website}/.well-known/marketplace-kit`, {});
  return new URL(configuration.parse(body).restore).hostname;
}

/** What a website in sandbox mode has itself is fetched from the sandbox. */
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

async function ask(url: string, request: RequestInit) {
  const answer = await fetch(url, request).catch((cause) => {
    throw new WebdistError('usage_invalid', `Nothing answers at ${url}.`, {
      hint: 'Start webdist (npm start), and give its address.',
      cause,
    });
  });
  const body: unknown = await answer.json().catch(() => undefined);
  if (answer.ok) return { body, cookies: answer.headers.getSetCookie() };
  const detail = z.object({ detail: z.string() }).safeParse(body).data?.detail;
  throw new WebdistError('usage_invalid', `${url} answered ${answer.status}${detail ? `: ${detail}` : '.'}`, {
    hint: 'The service has to run in sandbox mode, or give --sandbox with the address of `webdist sandbox`.',
  });
}
