/**
 * Checks that the cookie that identifies a device is set, is sent back, and lives long enough. Without it, each install
 * on a returning device counts as a first install (docs/apple-facts.md §13).
 */

import { type Check, fail, ok, warn } from './check.ts';
import { isSameSite, lookUp, shortened } from './dns.ts';
import { replicasOf } from './proxy-checks.ts';
import { requestToken, siteCheck, tokenOf } from './site.ts';
import type { WebAnswer } from './web.ts';

const WANTED = ['HttpOnly', 'Secure', 'SameSite=Lax', 'Path=/'];
const MIN_SECONDS = 30 * 86_400;
const COST = 'Otherwise, installs on a returning device count as first installs (dtype download).';
const PATH_HINT = `Serve webdist under a path of the page's host. ${COST}`;

/** The `webdist_device` cookie that an answer sets. */
function cookieIn(answer: WebAnswer): { readonly pair: string; readonly attributes: readonly string[] } | undefined {
  const set = answer.headers['set-cookie']?.find((one) => /^(__Host-)?webdist_device=/.test(one));
  const [pair = '', ...attributes] = set?.split(/;\s*/) ?? [];
  return set === undefined ? undefined : { pair, attributes };
}

export const cookieChecks: readonly Check[] = [
  siteCheck(
    'device-cookie',
    'The cookie identifies the device, so that a later install is a redownload.',
    async (site) => {
      const answer = await requestToken(site);
      if (tokenOf(answer) === '') return undefined;
      const cookie = cookieIn(answer);
      if (!cookie)
        return fail('the answer has no cookie webdist_device', `Configure the proxy to pass Set-Cookie on. ${COST}`);
      const lower = cookie.attributes.map((attribute) => attribute.toLowerCase());
      const missing = WANTED.filter((attribute) => !lower.includes(attribute.toLowerCase()));
      if (missing.length > 0)
        return warn(`the cookie lacks ${missing.join(', ')}`, 'Configure the proxy to pass Set-Cookie on unchanged.');
      const seconds = Number(/^max-age=(\d+)$/.exec(lower.find((one) => one.startsWith('max-age=')) ?? '')?.[1] ?? 0);
      if (seconds < MIN_SECONDS)
        return warn(
          `the cookie ends after ${seconds} s`,
          `Configure the proxy to pass Set-Cookie on unchanged. ${COST}`,
        );
      const again = cookieIn(await requestToken(site, { cookie: cookie.pair }));
      if (again?.pair === cookie.pair) return ok(`it is sent back, and lives for ${Math.floor(seconds / 86_400)} days`);
      // A replica with another secret refuses the cookies of the others, which the check `replicas` reports.
      if ((await replicasOf(site))?.result === 'fail') return undefined;
      return fail(
        'the service does not receive the cookie of a returning visitor',
        `Configure the proxy to pass Cookie on. ${COST}`,
      );
    },
  ),
  siteCheck(
    'cookie-lifetime',
    'Safari deletes a cookie early if its host seems to belong to a different server than the page.',
    async (site) => {
      const [page, service] = [site.pageUrl.hostname, site.urlOf('/').hostname];
      if (page === service) return ok('the service is on the host of the page');
      if (!isSameSite(page, service))
        return warn(`${service} is a different site than ${page}: Safari does not keep its cookie`, PATH_HINT);
      const lookup = site.facts.options.lookUp ?? lookUp;
      const cost = shortened(page, await lookup(page), await lookup(service));
      return cost === undefined
        ? ok(`${service} resolves like ${page}`)
        : warn(`Safari keeps the cookie for ${cost.days}: ${service} ${cost.why}`, PATH_HINT);
    },
  ),
];
