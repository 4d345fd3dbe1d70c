/**
 * The simulated device's client of a website: its configuration, its licence server and its files (docs/apple-facts.md
 * §3.1, §3.4).
 */

import { z } from 'zod';
import { isWithinDomain } from '../../host.ts';
import { refusal } from './journey.ts';

const httpsUrl = z.url({ protocol: /^https$/, error: 'expected an absolute https URL' });
/** Every member is required (docs/apple-facts.md §3.1). */
const configuration = z.object({
  license: z.object({
    dynamicLicenseURL: httpsUrl,
    licenseRenewalURL: httpsUrl,
    licenseResolutionURL: httpsUrl,
    signingCertificateURL: httpsUrl,
    encryptionCertificateURL: httpsUrl,
  }),
  restore: z.string(),
  updates: z.object({ url: z.string(), pollingInterval: z.number().positive() }),
});
const configurationDocument = configuration.extend({
  overridesByAppleItemID: z.record(z.string(), configuration).optional(),
});
type Configuration = z.output<typeof configuration>;

const licenseAnswer = z.object({ license: z.base64().min(1), unlicensedApps: z.array(z.string()).default([]) });
const manifestIds = z.object({ appleItemId: z.string(), appleVersionId: z.string(), bundleId: z.string() });

type WebsiteClientOptions = {
  readonly website: string;
  readonly domain: string;
  readonly fetch?: typeof fetch;
  readonly licenseSeconds?: number;
};
export type WebsiteClient = ReturnType<typeof openWebsiteClient>;

/** The line of the checklist and the signal to report if a request fails. */
type Blame = { readonly line: number; readonly signal: string };

/** Opens a client of the website `domain`, which is reached at the URL `website`. Its methods throw refusals. */
export function openWebsiteClient({ website, domain, fetch: send = fetch, licenseSeconds = 60 }: WebsiteClientOptions) {
  /** Sends a request for a URL of the website to the address at which the website is reached from here. */
  const request = async (url: string, init: RequestInit, { line, signal }: Blame): Promise<Response> => {
    const { protocol, hostname, pathname, search } = (/\s/.test(url) ? null : URL.parse(url)) ?? {};
    if (protocol !== 'https:') throw refusal(line, 'invalidURL', `${url} is not an absolute https URL`);
    if (hostname === undefined || !isWithinDomain(hostname, domain))
      throw refusal(line, 'networkError', `${hostname} is neither ${domain} nor a subdomain of it`);
    return send(new URL(`${pathname}${search}`, website).href, init).catch((error: Error) => {
      throw refusal(line, signal, `${url} cannot be reached (${error.message})`);
    });
  };
  const get = async (url: string, line: number): Promise<Response> => {
    const answer = await request(url, { redirect: 'manual' }, { line, signal: 'networkError' });
    if (answer.status >= 300 && answer.status < 400)
      throw refusal(line, 'networkError', `${url} redirects; it must answer directly`);
    if (answer.status !== 200) throw refusal(line, 'networkError', `${url} answered ${answer.status}, expected 200`);
    return answer;
  };
  const getJson = async <T>(url: string, schema: z.ZodType<T>, blame: Blame): Promise<T> =>
    parsedAs(schema, await jsonOf(await get(url, blame.line)), url, blame);
  const post = async (url: string, init: RequestInit, blame: Blame) => {
    const answer = await request(url, { method: 'POST', ...init }, blame);
    return { status: answer.status, body: await jsonOf(answer) };
  };
  const postJson = (url: string, body: object, init: RequestInit, blame: Blame) =>
    post(
      url,
      { ...init, headers: { 'content-type': 'application/json', ...init.headers }, body: JSON.stringify(body) },
      blame,
    );
  return {
    get,
    getJson,
    post,
    postJson,
    /** Returns the URL of a path on the website. */
    urlOf: (path: string): string => `https://${domain}${path}`,
    /** Fetches `.well-known/marketplace-kit`, and applies the overrides for this app if there are any. */
    async configuration(appleItemId: string): Promise<Configuration> {
      const url = `https://${domain}/.well-known/marketplace-kit`;
      const document = await getJson(url, configurationDocument, { line: 27, signal: 'invalidLicense' });
      return document.overridesByAppleItemID?.[appleItemId] ?? document;
    },
    /** Requests a licence; returns a summary. */
    async license(url: string, appleItemId: string, appleVersionId: string): Promise<string> {
      const blame = { line: 29, signal: 'invalidLicense' };
      const body = {
        licenseRequest: Buffer.from('simulated request').toString('base64'),
        licenseKey: Buffer.from('simulated key').toString('base64'),
        appsById: { [appleItemId]: { appleVersionId, assetPublicId: 'simulated' } },
      };
      const answer = await postJson(url, body, { signal: AbortSignal.timeout(licenseSeconds * 1000) }, blame);
      if (answer.status !== 200) throw refusal(29, 'invalidLicense', `${url} answered ${answer.status}, expected 200`);
      const { unlicensedApps } = parsedAs(licenseAnswer, answer.body, url, blame);
      if (unlicensedApps.includes(appleItemId))
        throw refusal(29, 'invalidLicense', `${url} grants no licence for ${appleItemId}`);
      return 'granted (the sandbox’s licence server grants everything; yours needs Apple’s SDK)';
    },
    /** Returns the app and the version of the package at a URL. */
    manifestIds: (packageUrl: string) =>
      getJson(`${packageUrl.replace(/\/$/, '')}/manifest.json`, manifestIds, { line: 32, signal: 'invalidManifest' }),
    /** Checks the package URL in an answer (docs/apple-facts.md §2.3 rule 5). */
    checkPackageUrl(text: string): string {
      const url = /\s/.test(text) ? null : URL.parse(text);
      const isPlain = url?.protocol === 'https:' && url.search === '' && url.hash === '' && url.port === '';
      if (!isPlain || !isWithinDomain(url.hostname, domain))
        throw refusal(31, 'invalidAlternativeDistributionPackageURL', `${text} is not an https URL on ${domain}`);
      return text;
    },
  };
}

const jsonOf = (answer: Response): Promise<unknown> => answer.json().catch(() => undefined);

/** Parses a JSON body; returns undefined for a body that is not JSON. Throws a refusal. */
export function parsedAs<T>(schema: z.ZodType<T>, body: unknown, url: string, { line, signal }: Blame): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const why = body === undefined ? 'is not JSON' : z.prettifyError(parsed.error).replace(/\s*\n\s*/g, ' ');
  throw refusal(line, signal, `${url}: ${why}`);
}
