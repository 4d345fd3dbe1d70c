/** The service as the website's pages reach it, for the checks from outside. */

import { z } from 'zod';
import type { Config } from '../config/config.ts';
import type { JsonObject } from '../install-token/verify/checks.ts';
import { parseJws } from '../install-token/verify/shape.ts';
import { PROOF_HEADER } from '../service/doctor-proof.ts';
import { type Check, type Finding, publicCheck } from './check.ts';
import type { Facts } from './facts.ts';
import { isPage, jsonOf, type WebAnswer } from './web.ts';

export type Site = {
  readonly config: Config;
  readonly facts: Facts;
  /** The URL of the page with the install link. */
  readonly pageUrl: URL;
  /** Returns the URL of a path of the service. */
  readonly urlOf: (path: string) => URL;
};

/** Returns the site to check; undefined without `--public`, and if the page does not answer. */
export async function siteOf(facts: Facts): Promise<Site | undefined> {
  const { config, options } = facts;
  const pageUrl = options.publicUrl ?? options.serviceUrl;
  if (!config || !pageUrl || (await facts.page())?.failed) return undefined;
  const base = (options.serviceUrl?.href ?? pathOnDomain(config) ?? pageUrl.origin).replace(/\/+$/, '');
  return { config, facts, pageUrl, urlOf: (path) => new URL(`${base}${path}`) };
}

/** Uses WEBDIST_PUBLIC_URL only if it is set, because its default is the domain itself, which may serve only the page. */
const pathOnDomain = ({ deviceSide, domain }: Config) =>
  deviceSide.publicUrl === `https://${domain}` ? undefined : deviceSide.publicUrl;

/** A check of the service; not run if the service is not reached at all, which `service-ready` reports. */
export const siteCheck = (
  id: string,
  why: string,
  judge: (site: Site) => Promise<Finding | undefined> | Finding | undefined,
): Check =>
  publicCheck(id, why, async (facts) => {
    const site = await siteOf(facts);
    return site && (await isReached(site)) ? judge(site) : undefined;
  });

/**
 * Whether webdist answers at its URL. A proxy may hide the health paths, so any of the paths that pages need is enough.
 */
export async function isReached(site: Site): Promise<boolean> {
  const { facts, urlOf } = site;
  const [health, button, token] = await Promise.all([
    facts.web(urlOf('/health/ready')),
    facts.web(urlOf('/install-button.js')),
    requestToken(site),
  ]);
  return [health, button].some((answer) => [200, 503].includes(answer.status) && !isPage(answer)) || isOwn(token);
}

/** Whether an answer to a token request is webdist's: a token, or one of its problems. */
export const isOwn = (answer: WebAnswer): boolean => tokenOf(answer) !== '' || codeOf(answer) !== undefined;

/** The code of a problem document (docs/http-api.md). */
export function codeOf(answer: WebAnswer): string | undefined {
  const code = (jsonOf(answer) as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

const tokenAnswer = z.object({ token: z.string() });

/** The token in an answer; empty if there is none. */
export const tokenOf = (answer: WebAnswer): string => tokenAnswer.safeParse(jsonOf(answer)).data?.token ?? '';

/** The claims of the token in an answer, not verified; none if there is no token. */
export const claimsOf = (answer: WebAnswer): JsonObject => parseJws(tokenOf(answer)).jws?.claims ?? {};

type TokenRequest = { readonly origin?: string; readonly cookie?: string; readonly method?: 'GET' | 'POST' };

/** Requests a token as a page of the website does. `cookie` is that of a returning visitor. */
export async function requestToken(
  { config, facts, urlOf }: Pick<Site, 'config' | 'facts' | 'urlOf'>,
  { origin = `https://${config.domain}`, cookie, method = 'POST' }: TokenRequest = {},
): Promise<WebAnswer> {
  const app = config.apps[0]?.bundleId ?? '';
  const proof = await facts.proof();
  const headers = { origin, ...(cookie && { cookie }), ...(proof !== undefined && { [PROOF_HEADER]: proof }) };
  if (method === 'GET') return facts.web(urlOf(`/install-token?app=${encodeURIComponent(app)}`), { headers });
  return facts.web(urlOf('/install-token'), {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ app }),
  });
}

/** The answers to requests that differ only in a cookie: with POST, as the button sends them, and with GET. */
export async function sampleOf(site: Site): Promise<readonly WebAnswer[]> {
  const answers: WebAnswer[] = [];
  for (const method of ['POST', 'GET'] as const)
    for (const visitor of ['1', '2'])
      answers.push(await requestToken(site, { method, cookie: `webdist_doctor=${visitor}` }));
  return answers;
}
