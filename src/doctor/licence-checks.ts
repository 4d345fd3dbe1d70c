/**
 * Checks the website's licence server from this machine: its certificates, and how fast its endpoints answer
 * (docs/apple-facts.md §3.1, §3.4).
 */

import { X509Certificate } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { certificateFault } from './certificate.ts';
import { type Check, type Finding, fail, ok, privateCheck, warn, worstOf } from './check.ts';
import type { Facts } from './facts.ts';
import { answered, isRedirect, mediaTypeOf } from './web.ts';

/** iOS waits 60 s for a licence; an answer to an empty request must come much sooner. */
const SLOW_MS = 5000;
const EXPIRY_DAYS = 14;

type License = Config['deviceSide']['license'];

const check = (
  id: string,
  why: string,
  judge: (license: License, facts: Facts) => Promise<Finding | undefined> | Finding | undefined,
): Check => privateCheck(id, why, (facts) => facts.config && judge(facts.config.deviceSide.license, facts));

const endpointsOf = (license: License) =>
  [license.dynamicLicenseURL, license.licenseRenewalURL, license.licenseResolutionURL].filter(isUrl);

/** Whether an endpoint on the same host cannot be reached either. */
async function isDown(certificate: string, license: License, web: Facts['web']): Promise<boolean> {
  const { host } = new URL(certificate);
  const beside = endpointsOf(license).filter((url) => new URL(url).host === host);
  const answers = await Promise.all(beside.map((url) => web(new URL(url))));
  return answers.some(({ failed }) => failed !== undefined);
}

const isUrl = (url: string | undefined) => url !== undefined;

export const licenceChecks: readonly Check[] = [
  check('licence-settings', 'iOS needs all five URLs to license an app.', (license) => {
    const missing = Object.entries(license).flatMap(([name, url]) => (url === undefined ? [name] : []));
    return missing.length === 0
      ? ok('all five URLs are set')
      : fail(`not set: ${missing.join(', ')}`, 'Set the missing WEBDIST_LICENSE_* settings (docs/device-side.md).');
  }),
  check('licence-certificates', 'Devices verify and encrypt with these certificates.', async (license, { web }) => {
    const urls = [license.signingCertificateURL, license.encryptionCertificateURL].filter(isUrl);
    const findings = urls.map(async (url) => {
      const answer = await web(new URL(url));
      // The check `licence-endpoints` reports a host that cannot be reached.
      if (answer.failed !== undefined && (await isDown(url, license, web))) return undefined;
      if (answer.status !== 200)
        return fail(`${url} ${answered(answer)}`, 'Serve the certificate there, without a redirect.');
      const days = daysLeft(answer.body);
      if (days === undefined)
        return fail(`${url} is not an X.509 certificate`, 'Serve the .cer file of the licence server.');
      if (days < 0) return fail(`${url} has expired`, 'Renew the certificate.');
      return days < EXPIRY_DAYS
        ? warn(`${url} expires in ${days} days`, 'Renew the certificate.')
        : ok(`${url}: ${days} days left`);
    });
    return worstOf(await Promise.all(findings));
  }),
  check(
    'licence-endpoints',
    'Nothing is installed unless a licence arrives within a minute.',
    async (license, { web }) => {
      const urls = endpointsOf(license);
      const findings = urls.map(async (url) => {
        // A GET does not request a licence, so almost any HTTP answer shows that the endpoint exists.
        const answer = await web(new URL(url));
        const { failed, status, ms } = answer;
        if (failed !== undefined || status >= 500)
          return fail(
            `${failed === undefined ? url : new URL(url).origin} ${answered(answer)}`,
            'Start the licence server, and check the network between it and this machine.',
          );
        const fault = certificateFault(answer, new URL(url));
        if (fault) return fault;
        if (isRedirect(answer))
          return warn(`${url} redirects to ${answer.headers.location}`, 'Set the URL that it redirects to.');
        // People open `licenseResolutionURL` in a browser.
        if (url !== license.licenseResolutionURL && status === 200 && mediaTypeOf(answer) === 'text/html')
          return warn(`${url} is a page, not a licence server`, 'Route this path to the licence server.');
        return ms > SLOW_MS ? warn(`${url} took ${ms} ms`, 'Move the licence server closer.') : ok(`${url}: ${ms} ms`);
      });
      return worstOf(await Promise.all(findings));
    },
  ),
];

function daysLeft(body: Buffer): number | undefined {
  try {
    return Math.floor((new X509Certificate(body).validToDate.getTime() - Date.now()) / 86_400_000);
  } catch {
    // Not a certificate; the check reports that.
    return undefined;
  }
}
