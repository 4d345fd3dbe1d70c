/** The licence server of the website, from here: its certificates and its endpoints in time (docs/apple-facts.md §3.1, §3.4). */

import { X509Certificate } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { type Check, type Finding, fail, info, ok, warn, worstOf } from './check.ts';
import type { Evidence } from './facts.ts';

/** iOS gives a licence 60 s; an answer to nothing at all has to come much sooner. */
const SLOW_MS = 5000;

type License = Config['deviceSide']['license'];

const check = (
  id: string,
  why: string,
  judge: (license: License, evidence: Evidence) => Promise<Finding | undefined> | Finding | undefined,
): Check => ({
  id,
  section: 'private',
  why,
  look: (evidence) => evidence.config && judge(evidence.config.deviceSide.license, evidence),
});

const isUrl = (url: string | undefined) => url !== undefined;

export const licenceChecks: readonly Check[] = [
  check('licence-settings', 'iOS needs all five addresses to license an app.', (license) => {
    const missing = Object.entries(license).flatMap(([name, url]) => (url === undefined ? [name] : []));
    if (missing.length === Object.keys(license).length) return info('no licence server is set (WEBDIST_LICENSE_*)');
    return missing.length === 0
      ? ok('all five addresses are set')
      : warn(`${missing.join(', ')} is not set`, 'Set the other WEBDIST_LICENSE_* addresses.');
  }),
  check('licence-certificates', 'A device checks and encrypts with these certificates.', async (license, { web }) => {
    const urls = [license.signingCertificateURL, license.encryptionCertificateURL].filter(isUrl);
    const findings = urls.map(async (url) => {
      const answer = await web(new URL(url));
      if (answer.status !== 200)
        return fail(
          `${url} answers ${answer.failed ?? answer.status}`,
          'Serve the certificate there, without redirect.',
        );
      const days = daysLeft(answer.body);
      if (days === undefined)
        return fail(`${url} gives no X.509 certificate`, 'Serve the .cer file of the licence server.');
      return days < 14 ? warn(`${url} ends in ${days} days`, 'Renew it.') : ok(`${url}: ${days} days left`);
    });
    return worstOf(await Promise.all(findings));
  }),
  check('licence-endpoints', 'Without a licence within a minute nothing is installed.', async (license, { web }) => {
    const urls = [license.dynamicLicenseURL, license.licenseRenewalURL, license.licenseResolutionURL].filter(isUrl);
    const findings = urls.map(async (url) => {
      // A GET asks for no licence: any answer but a failure says that somebody is there.
      const { failed, status, ms, certificateProblem } = await web(new URL(url));
      if (failed !== undefined || status >= 500)
        return fail(`${url} answers ${failed ?? status}`, 'Start the licence server, and check the way to it.');
      if (certificateProblem !== undefined)
        return fail(`${url}: ${certificateProblem}`, 'Install a valid certificate for this name.');
      return ms > SLOW_MS ? warn(`${url} took ${ms} ms`, 'Bring the licence server closer.') : ok(`${url}: ${ms} ms`);
    });
    return worstOf(await Promise.all(findings));
  }),
];

function daysLeft(body: Buffer): number | undefined {
  try {
    return Math.floor((new X509Certificate(body).validToDate.getTime() - Date.now()) / 86_400_000);
  } catch {
    // The check says that it is none.
    return undefined;
  }
}
