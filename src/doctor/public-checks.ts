/** The page and the package from outside, as iOS sees them (docs/apple-facts.md §2.3, §3.1, §5.4, §10). */

import type { AppConfig, Config } from '../config/config.ts';
import { type Check, type Finding, fail, ok, warn, worstOf } from './check.ts';
import type { Evidence } from './facts.ts';
import { parseManifest } from './package-checks.ts';
import type { Answer } from './web.ts';

const EXPIRY_DAYS = 14;

type Page = { readonly config: Config; readonly url: URL; readonly page: Answer; readonly evidence: Evidence };

/** A check of the page; without `--public`, or where the page does not answer, it gives nothing. */
const ofPage = (
  id: string,
  why: string,
  judge: (page: Page) => Promise<Finding | undefined> | Finding | undefined,
): Check => ({
  id,
  section: 'public',
  why,
  async look(evidence) {
    const { config, options } = evidence;
    const page = await evidence.page();
    if (!config || !page || !options.publicUrl || page.failed) return undefined;
    return judge({ config, url: options.publicUrl, page, evidence });
  },
});

const isRedirect = ({ status }: Answer) => status >= 300 && status < 400;
const typeOf = ({ headers }: Answer) => (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
const isJson = (answer: Answer) => typeOf(answer) === 'application/json';

/** Something below the package of each app. */
const ofPackages = (
  id: string,
  why: string,
  judge: (app: AppConfig, file: (path: string) => Promise<Answer>, evidence: Evidence) => Promise<Finding | undefined>,
): Check =>
  ofPage(id, why, async ({ config, evidence }) => {
    const findings = config.apps.map((app) => {
      const base = app.packageUrl?.replace(/\/$/, '');
      return base === undefined ? undefined : judge(app, (path) => evidence.web(new URL(`${base}/${path}`)), evidence);
    });
    return worstOf(await Promise.all(findings));
  });

export const publicChecks: readonly Check[] = [
  {
    id: 'page-reachable',
    section: 'public',
    why: 'Visitors begin at the page.',
    async look({ page, options, config }) {
      const answer = config && (await page());
      if (!answer) return undefined;
      if (answer.failed)
        return fail(`${options.publicUrl} does not answer (${answer.failed})`, 'Check DNS and firewall.');
      return answer.status < 400
        ? ok(`${options.publicUrl} answers ${answer.status} in ${answer.ms} ms`)
        : fail(`${options.publicUrl} answers ${answer.status}`, 'Give the address of the page with the install link.');
    },
  },
  ofPage('page-https', 'iOS installs only from https pages.', ({ url }) =>
    url.protocol === 'https:' && url.port === ''
      ? ok('https, default port')
      : fail(`${url.origin} is not plain https`, 'Serve the page with https on port 443.'),
  ),
  ofPage('page-certificate', 'iOS refuses a certificate it does not trust.', ({ page, url }) => {
    if (url.protocol !== 'https:') return undefined;
    return page.certificateProblem === undefined
      ? ok('trusted')
      : fail(page.certificateProblem, 'Install a valid certificate for this name, with its whole chain.');
  }),
  ofPage('certificate-expiry', 'On the day it ends every install ends.', ({ page }) => {
    if (page.certificateEnds === undefined || page.certificateProblem !== undefined) return undefined;
    const days = Math.floor((page.certificateEnds.getTime() - Date.now()) / 86_400_000);
    return days < EXPIRY_DAYS
      ? warn(`the certificate ends in ${days} days`, 'See why it was not renewed.')
      : ok(`${days} days left`);
  }),
  ofPage('page-redirect', 'The page that is shown is the referrer that iOS compares.', ({ page }) =>
    isRedirect(page)
      ? fail(`it redirects to ${page.headers.location}`, 'Give the address it redirects to, and link to that.')
      : ok('no redirect'),
  ),
  ofPage('page-domain', 'The page has to be on the registered domain.', ({ config, url }) =>
    url.hostname === config.domain || url.hostname.endsWith(`.${config.domain}`)
      ? ok(url.hostname)
      : fail(`${url.hostname} is not ${config.domain} or below it`, 'Mend WEBDIST_DOMAIN, or move the page.'),
  ),
  ofPage('same-host', 'iOS compares the host of the package with the host of the page, exactly.', ({ config, url }) =>
    worstOf(
      config.apps.map(({ packageUrl }) => {
        if (packageUrl === undefined) return undefined;
        const { host } = new URL(packageUrl);
        return host === url.host
          ? ok(host)
          : fail(`the page is on ${url.host}, the package on ${host}`, `Serve both from ${url.host}.`);
      }),
    ),
  ),
  ofPackages('package-public', 'Devices fetch manifest.json from the website.', async (_, file) => {
    const answer = await file('manifest.json');
    if (answer.failed) return fail(`manifest.json does not answer (${answer.failed})`, 'Check WEBDIST_PACKAGE_URL.');
    if (isRedirect(answer)) return undefined;
    return answer.status === 200
      ? ok('manifest.json is there')
      : fail(`manifest.json answers ${answer.status}`, 'Put the whole package there, or fix WEBDIST_PACKAGE_URL.');
  }),
  ofPackages('package-redirect', 'A device follows no redirect to another host.', async (_, file) => {
    const answer = await file('manifest.json');
    if (answer.failed) return undefined;
    return isRedirect(answer)
      ? fail(`manifest.json redirects to ${answer.headers.location}`, 'Serve the package at this very address.')
      : ok('no redirect');
  }),
  ofPackages(
    'package-type',
    'A manifest that is not called JSON may be refused or changed on its way.',
    async (_, file) => {
      const answer = await file('manifest.json');
      if (answer.status !== 200) return undefined;
      return isJson(answer)
        ? ok('application/json')
        : warn(`manifest.json is ${typeOf(answer) || 'of no type'}`, 'Serve it as application/json.');
    },
  ),
  ofPackages('package-exact', 'The signature is over the exact bytes of the manifest.', async (app, file, evidence) => {
    const answer = await file('manifest.json');
    const here = (await evidence.manifests()).find((one) => one.app === app)?.text;
    if (answer.status !== 200 || here === undefined) return undefined;
    return answer.body.equals(Buffer.from(here))
      ? ok('the bytes are those the service reads')
      : fail(
          'manifest.json differs from the one the service reads',
          'Upload the package again; switch off what rewrites JSON on the way, and purge the CDN.',
        );
  }),
  ofPackages('package-signature', 'Without the file `signature` iOS installs nothing.', async (_, file) => {
    if ((await file('manifest.json')).status !== 200) return undefined;
    const answer = await file('signature');
    return answer.status === 200 && answer.body.length > 0
      ? ok(`${answer.body.length} bytes`)
      : fail(`signature answers ${answer.failed ?? answer.status}`, 'Upload the file signature beside manifest.json.');
  }),
  ofPackages('package-assets', 'The variants are what is installed.', async (app, file, evidence) => {
    const answer = await file('manifest.json');
    const variant = parseManifest(answer.body.toString('utf8'))?.variants[0];
    if (answer.status !== 200 || !variant) return undefined;
    const url = new URL(`${app.packageUrl?.replace(/\/$/, '')}/${variant.assetPath}`);
    const asset = await evidence.web(url, { method: 'HEAD' });
    return asset.status === 200
      ? ok(`${variant.assetPath} is there`)
      : fail(
          `${variant.assetPath} answers ${asset.failed ?? asset.status}`,
          'Upload the folder variant/ of the package.',
        );
  }),
];
