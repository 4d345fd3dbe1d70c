/** Checks webdist itself from outside: whether it is reached, the button, tokens, CORS and caches. */

import { verifyInstallToken } from '../install-token/verify/verify.ts';
import { isKnown } from './apple-account.ts';
import { type Check, fail, ok, publicCheck, warn } from './check.ts';
import type { Facts } from './facts.ts';
import { codeOf, isReached, requestToken, type Site, sampleOf, siteCheck, siteOf, tokenOf } from './site.ts';
import { answered, isPage, isRedirect, mediaTypeOf, unlessChallenge, type WebAnswer } from './web.ts';

/** Whether two visitors get the same token. */
async function isCached(site: Site): Promise<boolean> {
  const tokens = (await sampleOf(site)).map(tokenOf).filter((token) => token !== '');
  return new Set(tokens).size < tokens.length;
}

const isEveryKeyHeld = async ({ appKeys }: Facts) =>
  (await appKeys()).every(({ keys }) => keys.some(({ signer }) => signer));

const pageNote = (answer: WebAnswer) => (isPage(answer) ? ' with a page (HTML)' : '');

export const serviceChecks: readonly Check[] = [
  publicCheck('service-ready', 'Only a service that is reached and ready can sign.', async (facts) => {
    const site = await siteOf(facts);
    if (!site) return undefined;
    const url = site.urlOf('/health/ready');
    const answer = await facts.web(url);
    if (answer.status === 200 && !isPage(answer)) return ok('ready');
    if (answer.status === 503 && !isPage(answer))
      return fail(`${url.href} answers 503`, 'Check the log of webdist, which says why it cannot sign.');
    return (await isReached(site))
      ? ok('reached; its health is not public')
      : fail(
          `webdist does not answer at ${site.urlOf('/').href}: it ${answered(answer)}${pageNote(answer)}`,
          unlessChallenge(answer, 'Route its paths to webdist, or give its URL with --service.'),
        );
  }),
  siteCheck('button', 'Pages load the install button as a module.', async ({ facts, urlOf }) => {
    const answer = await facts.web(urlOf('/install-button.js'));
    if (answer.status !== 200) return fail(`/install-button.js ${answered(answer)}`, 'Route it to webdist.');
    return /^(text|application)\/javascript$/.test(mediaTypeOf(answer))
      ? ok('a JavaScript module')
      : fail(`/install-button.js is ${mediaTypeOf(answer)}`, 'Browsers load modules only as text/javascript.');
  }),
  siteCheck('token-answer', 'Without a token, the page has no install link.', async (site) => {
    const answer = await requestToken(site);
    const { signIn, anonymous, challenge } = site.config.callers;
    if (answer.status === 401 && (signIn || anonymous === 'none'))
      return ok('refused without a credential, as configured');
    if (codeOf(answer) === 'challenge_failed' && challenge) return ok('refused without a challenge, as configured');
    if (tokenOf(answer) !== '') return ok(`in ${answer.ms} ms`);
    const code = codeOf(answer);
    // The check `key-held` reports why.
    if (code === 'signer_unavailable' && !(await isEveryKeyHeld(site.facts))) return undefined;
    const found = `/install-token ${answered(answer)}${pageNote(answer)}`;
    return code === undefined
      ? fail(
          `${found}, and webdist did not send that`,
          isRedirect(answer)
            ? 'Exclude this path from the redirect: a browser follows it with GET, and without the body.'
            : unlessChallenge(
                answer,
                'Find out which proxy or firewall answers instead of webdist, and configure it to pass the request on.',
              ),
        )
      : fail(`${found} (${code})`, 'Find this request in the log of webdist.');
  }),
  siteCheck(
    'token-cache',
    'A cached token would be sent to other visitors, and devices would refuse it.',
    async (site) => {
      const answer = await requestToken(site);
      if (tokenOf(answer) === '') return undefined;
      const control = answer.headers['cache-control'] ?? 'missing';
      if (!/\bno-store\b/.test(control))
        return fail(`Cache-Control is ${control}`, 'Configure the proxy or CDN to pass on Cache-Control: no-store.');
      return (await isCached(site))
        ? fail('two visitors got the same token', 'Configure the proxy or CDN to cache no answer of /install-token.')
        : ok(control);
    },
  ),
  siteCheck(
    'token-cors',
    'The page must be able to read the answer; pages of other origins must not.',
    async (site) => {
      const origin = `https://${site.config.domain}`;
      const answer = await requestToken(site);
      if (tokenOf(answer) === '') return undefined;
      const allowed = answer.headers['access-control-allow-origin'];
      return allowed === origin
        ? ok(origin)
        : fail(
            `Access-Control-Allow-Origin is ${allowed ?? 'missing'}, expected ${origin}`,
            'Configure the proxy to pass on Origin and webdist’s answer, and to add no CORS headers.',
          );
    },
  ),
  siteCheck('foreign-pages', 'Other websites must not get tokens for your apps.', async (site) => {
    const answer = await requestToken(site, { origin: 'https://not-yours.example' });
    if (answer.failed) return undefined;
    // A cache in between answers instead of webdist, which the check `token-cache` reports.
    if (answer.status === 200 && tokenOf(answer) === tokenOf(await requestToken(site))) return undefined;
    return answer.status === 200
      ? warn('a page of another origin got a token', 'Set WEBDIST_ANONYMOUS=pages, and check the proxy.')
      : ok(`refused with ${answer.status}`);
  }),
  siteCheck('token-valid', 'Devices must accept the tokens that visitors get.', async (site) => {
    const answer = await requestToken(site);
    const account = await site.facts.appleAccount();
    if (tokenOf(answer) === '' || !account || account.problem) return undefined;
    // The check `app-found` reports wrong ids.
    if (!site.config.apps.every((app) => isKnown(app, account.apps))) return undefined;
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
];
