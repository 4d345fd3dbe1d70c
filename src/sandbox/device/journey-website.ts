/**
 * The website as the simulated iPhone meets it: its configuration, its OAuth, its licence server (docs/apple-facts.md §3). Must not
 * know in which order a device asks.
 */

import { z } from 'zod';

/** Why the device goes no further. `signal` is the case of MarketplaceKitError where Apple has one. */
export class Refusal extends Error {
  readonly line: number;
  readonly signal: string;

  constructor(line: number, signal: string, detail: string) {
    super(detail);
    this.line = line;
    this.signal = signal;
  }
}

export const fail = (line: number, signal: string, detail: string) => new Refusal(line, signal, detail);

const configuration = z.object({
  license: z.object({ dynamicLicenseURL: z.string() }),
  restore: z.string(),
  updates: z.object({ url: z.string(), pollingInterval: z.number().positive() }),
});
const configurationDocument = configuration.extend({
  overridesByAppleItemID: z.record(z.string(), configuration).optional(),
});
export type Configuration = z.output<typeof configuration>;

const metadata = z.object({ token_endpoint: z.string(), authorization_endpoint: z.string() });
const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  refresh_token: z.string().optional(),
});
const licenseAnswer = z.object({ license: z.base64().min(1), unlicensedApps: z.array(z.string()).default([]) });
const manifestIds = z.object({ appleItemId: z.string(), appleVersionId: z.string() });

export type WebsiteOptions = {
  readonly website: string;
  readonly domain: string;
  readonly fetch?: typeof fetch;
  readonly licenseSeconds?: number;
};
export type Website = ReturnType<typeof openWebsite>;

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

export function openWebsite({ website, domain, fetch: send = fetch, licenseSeconds = 60 }: WebsiteOptions) {
  /** Where this machine finds an address of the website. */
  const here = (address: string, line: number): string => {
    const url = /\s/.test(address) ? null : URL.parse(address);
    if (url?.protocol !== 'https:') throw fail(line, 'invalidURL', `${address} is not an absolute https address`);
    if (url.hostname !== domain) throw fail(line, 'networkError', `${url.hostname} is not the website ${domain}`);
    return new URL(`${url.pathname}${url.search}`, website).href;
  };
  const get = async (address: string, line: number) => {
    const answer = await send(here(address, line), { redirect: 'manual' }).catch((error: Error) => {
      throw fail(line, 'networkError', `${address} cannot be reached (${error.message})`);
    });
    if (answer.status >= 300 && answer.status < 400)
      throw fail(line, 'networkError', `${address} redirects; it has to answer itself`);
    if (answer.status !== 200) throw fail(line, 'networkError', `${address} answered ${answer.status}, expected 200`);
    return answer;
  };
  const postJson = async (address: string, body: object, accessToken?: string, signal?: AbortSignal) => {
    const headers = {
      'content-type': 'application/json',
      ...(accessToken && { authorization: `Bearer ${accessToken}` }),
    };
    const request = { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) };
    const answer = await send(here(address, 30), request).catch((error: Error) => {
      throw fail(signal ? 29 : 30, signal ? 'invalidLicense' : 'networkError', `${address}: ${error.message}`);
    });
    const parsed: unknown = await answer.json().catch(() => undefined);
    return { status: answer.status, body: parsed };
  };
  const readMetadata = async () => {
    const address = `https://${domain}/.well-known/oauth-authorization-server`;
    const answer = await get(address, 28);
    return understood(metadata, await answer.json().catch(() => undefined), 28, 'oauthTokenError', address);
  };
  const tokens = async (parameters: Record<string, string>) => {
    const { token_endpoint: address } = await readMetadata();
    const answer = await send(here(address, 28), { method: 'POST', body: new URLSearchParams(parameters) });
    const body: unknown = await answer.json().catch(() => undefined);
    if (answer.status !== 200)
      throw fail(28, 'oauthTokenError', `${address} answered ${answer.status}: ${JSON.stringify(body)?.slice(0, 200)}`);
    const { access_token, refresh_token } = understood(tokenAnswer, body, 28, 'oauthTokenError', address);
    return { accessToken: access_token, refreshToken: refresh_token };
  };
  return {
    get,
    postJson,
    tokens,
    /** The token exchange of RFC 8693 as the OS sends it (docs/apple-facts.md §3.5). */
    exchange: (subjectToken: string, clientId: string) =>
      tokens({
        grant_type: EXCHANGE,
        issued_token_type: ACCESS_TOKEN,
        subject_token: subjectToken,
        subject_token_type: ACCESS_TOKEN,
        client_id: clientId,
      }),
    /** `.well-known/marketplace-kit`, an app's own copy of it when there is one. */
    async configuration(appleItemId: string): Promise<Configuration> {
      const address = `https://${domain}/.well-known/marketplace-kit`;
      const answer = await get(address, 27);
      const body: unknown = await answer.json().catch(() => undefined);
      const document = understood(configurationDocument, body, 27, 'invalidLicense', address);
      return document.overridesByAppleItemID?.[appleItemId] ?? document;
    },
    async license(address: string, appleItemId: string, appleVersionId: string): Promise<string> {
      const request = {
        licenseRequest: Buffer.from('simulated request').toString('base64'),
        licenseKey: Buffer.from('simulated key').toString('base64'),
        appsById: { [appleItemId]: { appleVersionId, assetPublicId: 'simulated' } },
      };
      const late = AbortSignal.timeout(licenseSeconds * 1000);
      const answer = await postJson(address, request, undefined, late);
      if (answer.status !== 200) throw fail(29, 'invalidLicense', `${address} answered ${answer.status}, expected 200`);
      const { unlicensedApps } = understood(licenseAnswer, answer.body, 29, 'invalidLicense', address);
      if (unlicensedApps.includes(appleItemId))
        throw fail(29, 'invalidLicense', `${address} gives no licence for ${appleItemId}`);
      return 'granted (the sandbox’s licence server says yes to everything; yours needs Apple’s SDK)';
    },
    /** App and version of the package at an address. */
    async manifestIds(base: string) {
      const address = `${base.replace(/\/$/, '')}/manifest.json`;
      const answer = await get(address, 32);
      return understood(manifestIds, await answer.json().catch(() => undefined), 32, 'invalidManifest', address);
    },
    /** Checks the address of a package in an answer (docs/apple-facts.md §2.3 rule 5). */
    packageAddress(address: string, line: number): string {
      const url = /\s/.test(address) ? null : URL.parse(address);
      const isPlain = url?.protocol === 'https:' && url.search === '' && url.hash === '' && url.port === '';
      if (!isPlain || url.hostname !== domain)
        throw fail(line, 'invalidAlternativeDistributionPackageURL', `${address} is not an https address on ${domain}`);
      return address;
    },
  };
}

function understood<T>(schema: z.ZodType<T>, body: unknown, line: number, signal: string, address: string): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const why = body === undefined ? 'is not JSON' : z.prettifyError(parsed.error).replace(/\s*\n\s*/g, ' ');
  throw fail(line, signal, `${address}: ${why}`);
}
