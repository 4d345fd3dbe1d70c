/**
 * Checks webdist itself from outside: the button, tokens, CORS, caches, and the documents that iOS fetches
 * (docs/apple-facts.md §3.1).
 */

import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { verifyInstallToken } from '../install-token/verify/verify.ts';
import { type Check, type Finding, fail, ok, publicCheck, warn } from './check.ts';
import type { Facts } from './facts.ts';
import { isRedirect, jsonOf, mediaTypeOf, type WebAnswer } from './web.ts';

type Site = {
  readonly config: Config;
  readonly facts: Facts;
  /** Returns the URL of a path of the service. */
  readonly urlOf: (path: string) => URL;
};

const check = (id: string, why: string, judge: (site: Site) => Promise<Finding | undefined>): Check =>
  publicCheck(id, why, async (facts) => {
    const { config, options } = facts;
    const base = options.serviceUrl ?? options.publicUrl;
    if (!config || !base || (await facts.page())?.failed) return undefined;
    return judge({ config, facts, urlOf: (path) => new URL(path, base) });
  });

/** Requests a token as a page of the website does. */
function requestToken({ config, facts, urlOf }: Site, origin = `https://${config.domain}`): Promise<WebAnswer> {
  return facts.web(urlOf('/install-token'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin },
    body: JSON.stringify({ app: config.apps[0]?.bundleId }),
  });
}

const tokenAnswer = z.object({ token: z.string() });
const tokenOf = (answer: WebAnswer) => tokenAnswer.safeParse(jsonOf(answer)).data?.token ?? '';

const KIT_PATH = '/.well-known/marketplace-kit';
/** Fetches the document that iOS reads. It is always on the page's host, even if the service is on another. */
const kit = ({ facts }: Site) => facts.web(new URL(KIT_PATH, facts.options.publicUrl ?? facts.options.serviceUrl));
const kitForm = z.object({ license: z.object(), restore: z.string(), updates: z.object({ url: z.string() }) });

export const serviceChecks: readonly Check[] = [
  check('service-ready', 'Only a service that is ready can sign.', async ({ facts, urlOf }) => {
    const answer = await facts.web(urlOf('/health/ready'));
    return answer.status === 200
      ? ok('ready')
      : fail(
          `/health/ready answers ${answer.failed ?? answer.status}`,
          'Route it to webdist, or give the URL of webdist with --service; its log says why it is not ready.',
        );
  }),
  check('button', 'Pages load the install button as a module.', async ({ facts, urlOf }) => {
    const answer = await facts.web(urlOf('/install-button.js'));
    if (answer.status !== 200)
      return fail(`/install-button.js answers ${answer.failed ?? answer.status}`, 'Route it to webdist.');
    return /^(text|application)\/javascript$/.test(mediaTypeOf(answer))
      ? ok('a JavaScript module')
      : fail(`/install-button.js is ${mediaTypeOf(answer)}`, 'Browsers load modules only as text/javascript.');
  }),
  check('token-answer', 'Without a token, the page has no install link.', async (site) => {
    const answer = await requestToken(site);
    if (answer.status === 401 && site.config.callers.signIn) return ok('refused without a sign-in, as configured');
    return answer.status === 200
      ? ok(`in ${answer.ms} ms`)
      : fail(`/install-token answers ${answer.failed ?? answer.status}`, 'Find this request in the log of webdist.');
  }),
  check('token-cache', 'A cached token would be sent to other visitors, and devices would refuse it.', async (site) => {
    const answer = await requestToken(site);
    if (answer.status !== 200) return undefined;
    const control = answer.headers['cache-control'] ?? 'missing';
    return /\bno-store\b/.test(control)
      ? ok(control)
      : fail(`Cache-Control is ${control}`, 'Configure the proxy or CDN to pass on Cache-Control: no-store.');
  }),
  check('token-cors', 'The page must be able to read the answer; pages of other origins must not.', async (site) => {
    const origin = `https://${site.config.domain}`;
    const answer = await requestToken(site);
    if (answer.status !== 200) return undefined;
    const allowed = answer.headers['access-control-allow-origin'];
    return allowed === origin
      ? ok(origin)
      : fail(
          `Access-Control-Allow-Origin is ${allowed ?? 'missing'}, expected ${origin}`,
          'Configure the proxy to pass on Origin and webdist’s answer, and to add no CORS headers.',
        );
  }),
  check('foreign-pages', 'Other websites must not get tokens for your apps.', async (site) => {
    const answer = await requestToken(site, 'https://not-yours.example');
    if (answer.failed) return undefined;
    return answer.status === 200
      ? warn('a page of another origin got a token', 'Set WEBDIST_ANONYMOUS=pages, and check the proxy.')
      : ok(`refused with ${answer.status}`);
  }),
  check('token-valid', 'Devices must accept the tokens that visitors get.', async (site) => {
    const answer = await requestToken(site);
    const account = await site.facts.appleAccount();
    if (answer.status !== 200 || !account || account.problem) return undefined;
    const keys = account.keys.flatMap(({ id, publicKey }) =>
      publicKey ? [{ keyId: id, publicKey, source: 'App Store Connect' }] : [],
    );
    const verdict = verifyInstallToken(tokenOf(answer), {
      keys,
      apps: site.config.apps,
      nowSeconds: Date.now() / 1000,
    });
    const refused = verdict.checks.find(({ result }) => result === 'fail');
    return refused
      ? fail(
          `${refused.name}: ${refused.detail}`,
          refused.cause ? `Likely cause: ${refused.cause}.` : 'Restart webdist and read its log.',
        )
      : ok('a device would accept it');
  }),
  check('kit-reachable', 'iOS reads the URLs for licences, restore and updates from this document.', async (site) => {
    const answer = await kit(site);
    if (isRedirect(answer)) return undefined;
    return answer.status === 200
      ? ok(`${KIT_PATH} is served`)
      : fail(
          `${KIT_PATH} answers ${answer.failed ?? answer.status}`,
          'Serve it on the registered domain and on the page’s host.',
        );
  }),
  check('kit-redirect', 'iOS does not follow redirects there.', async (site) => {
    const answer = await kit(site);
    if (answer.failed) return undefined;
    return isRedirect(answer)
      ? fail(`it redirects to ${answer.headers.location}`, 'Exclude this path from redirects.')
      : ok('no redirect');
  }),
  check('kit-content', 'The document must be JSON with `license`, `restore` and `updates`.', async (site) => {
    const answer = await kit(site);
    if (answer.status !== 200) return undefined;
    const parsed = kitForm.safeParse(jsonOf(answer));
    if (!parsed.success)
      return fail(
        `wrong or missing: ${parsed.error.issues.map(({ path }) => path.join('.') || 'the whole document').join(', ')}`,
        'Serve webdist’s answer unchanged.',
      );
    return mediaTypeOf(answer) === 'application/json'
      ? ok('license, restore and updates')
      : warn(`it has the type ${mediaTypeOf(answer) || '(none)'}`, 'Serve it as application/json.');
  }),
];
