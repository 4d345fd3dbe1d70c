/** Checks the page and the package from outside, as iOS sees them (docs/apple-facts.md §2.3, §3.1, §5.4, §10). */

import type { AppConfig, Config } from '../config/config.ts';
import { isWithinDomain } from '../host.ts';
import { packageBase } from '../packages/manifest.ts';
import { certificateFault } from './certificate.ts';
import { type Check, type Finding, fail, ok, publicCheck, warn, worstOf } from './check.ts';
import type { Facts } from './facts.ts';
import { parseManifest } from './manifest.ts';
import { answered, isPage, isRedirect, mediaTypeOf, unlessChallenge, type WebAnswer, type WebRequest } from './web.ts';

const EXPIRY_DAYS = 14;

type Page = { readonly config: Config; readonly url: URL; readonly page: WebAnswer; readonly facts: Facts };

/** A check of the page; undefined without `--public`, or if the page does not answer. */
const pageCheck = (
  id: string,
  why: string,
  judge: (page: Page) => Promise<Finding | undefined> | Finding | undefined,
): Check =>
  publicCheck(id, why, async (facts) => {
    const { config, options } = facts;
    const page = await facts.page();
    if (!config || !page || !options.publicUrl || page.failed) return undefined;
    return judge({ config, url: options.publicUrl, page, facts });
  });

type PackageJudge = (
  app: AppConfig,
  file: (path: string, request?: WebRequest) => Promise<WebAnswer>,
  facts: Facts,
) => Promise<Finding | undefined>;

/** A check of the files of each app's package. */
const filesCheck = (id: string, why: string, judge: PackageJudge): Check =>
  pageCheck(id, why, async ({ config, facts }) => {
    const findings = config.apps.map((app) => {
      if (app.packageUrl === undefined) return undefined;
      const base = packageBase(app.packageUrl);
      return judge(app, (path, request) => facts.web(new URL(`${base}/${path}`), request), facts);
    });
    return worstOf(await Promise.all(findings));
  });

/** Whether a file of the package was served, and not a page instead of it. */
const isFile = (answer: WebAnswer) => answer.status === 200 && !isPage(answer);

export const publicChecks: readonly Check[] = [
  publicCheck('page-reachable', 'Visitors start at the page.', async ({ page, options, config }) => {
    const answer = config && (await page());
    if (!answer) return undefined;
    if (answer.failed) return fail(`${options.publicUrl} ${answered(answer)}`, 'Check DNS and firewall.');
    return answer.status < 400
      ? ok(`${options.publicUrl} answers ${answer.status} in ${answer.ms} ms`)
      : fail(
          `${options.publicUrl} ${answered(answer)}`,
          unlessChallenge(answer, 'Use the URL of the page with the install link.'),
        );
  }),
  pageCheck('page-https', 'iOS installs only from https pages.', ({ url }) =>
    url.protocol === 'https:' && url.port === ''
      ? ok('https, default port')
      : fail(`${url.origin} is not https on the default port`, 'Serve the page with https on port 443.'),
  ),
  pageCheck('page-certificate', 'iOS refuses certificates that it does not trust.', ({ page, url }) => {
    if (url.protocol !== 'https:') return undefined;
    return certificateFault(page, url) ?? ok('trusted');
  }),
  pageCheck('certificate-expiry', 'When the certificate expires, installs stop.', ({ page }) => {
    if (page.certificateEnds === undefined || page.certificateProblem !== undefined) return undefined;
    const days = Math.floor((page.certificateEnds.getTime() - Date.now()) / 86_400_000);
    return days < EXPIRY_DAYS
      ? warn(`the certificate expires in ${days} days`, 'Find out why the certificate was not renewed.')
      : ok(`${days} days left`);
  }),
  pageCheck('page-redirect', 'iOS compares the page that is shown, after any redirect.', ({ page }) =>
    isRedirect(page)
      ? fail(`it redirects to ${page.headers.location}`, 'Use the URL that it redirects to, here and in your links.')
      : ok('no redirect'),
  ),
  pageCheck('page-domain', 'The page must be on the registered domain.', ({ config, url }) =>
    isWithinDomain(url.hostname, config.domain)
      ? ok(url.hostname)
      : fail(
          `${url.hostname} is neither ${config.domain} nor a subdomain of it`,
          'Correct WEBDIST_DOMAIN, or move the page.',
        ),
  ),
  pageCheck('same-host', 'The package must be on exactly the same host as the page.', ({ config, url }) =>
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
  filesCheck('package-public', 'Devices fetch manifest.json from the website.', async (_, file) => {
    const answer = await file('manifest.json');
    if (answer.failed) return fail(`manifest.json ${answered(answer)}`, 'Check WEBDIST_PACKAGE_URL.');
    if (isRedirect(answer)) return undefined;
    if (isFile(answer)) return ok('manifest.json is served');
    return fail(
      answer.status === 200 ? 'a page (HTML) is served instead of manifest.json' : `manifest.json ${answered(answer)}`,
      unlessChallenge(answer, 'Upload the whole package there, or correct WEBDIST_PACKAGE_URL.'),
    );
  }),
  filesCheck('package-redirect', 'A device does not follow redirects to another host.', async (_, file) => {
    const answer = await file('manifest.json');
    if (answer.failed) return undefined;
    return isRedirect(answer)
      ? fail(`manifest.json redirects to ${answer.headers.location}`, 'Serve the package at exactly this URL.')
      : ok('no redirect');
  }),
  filesCheck(
    'package-type',
    'Without the type application/json, a device may refuse the manifest, or a proxy may modify it.',
    async (_, file) => {
      const answer = await file('manifest.json');
      if (!isFile(answer)) return undefined;
      return mediaTypeOf(answer) === 'application/json'
        ? ok('application/json')
        : warn(`manifest.json has the type ${mediaTypeOf(answer) || '(none)'}`, 'Serve it as application/json.');
    },
  ),
  filesCheck('package-exact', 'The signature covers the exact bytes of the manifest.', async (app, file, facts) => {
    const answer = await file('manifest.json');
    const local = (await facts.manifests()).find((one) => one.app === app)?.text;
    if (!isFile(answer) || local === undefined) return undefined;
    return answer.body.equals(Buffer.from(local))
      ? ok('the same bytes as the service reads')
      : fail(
          'manifest.json differs from the one that the service reads',
          'Upload the package again, turn off every proxy feature that rewrites JSON, and purge the CDN.',
        );
  }),
  filesCheck('package-signature', 'iOS installs nothing without the file `signature`.', async (_, file) => {
    if (!isFile(await file('manifest.json'))) return undefined;
    const answer = await file('signature');
    return isFile(answer) && answer.body.length > 0
      ? ok(`${answer.body.length} bytes`)
      : fail(
          `signature ${answer.status === 200 ? 'is empty or a page (HTML)' : answered(answer)}`,
          'Upload the file signature next to manifest.json.',
        );
  }),
  filesCheck('package-assets', 'Devices install the variants.', async (_, file) => {
    const answer = await file('manifest.json');
    const { variants = [] } = parseManifest(answer.body.toString('utf8')) ?? {};
    if (answer.status !== 200 || variants.length === 0) return undefined;
    const faults = await Promise.all(
      variants.map(async ({ assetPath, variantDetails: { hashes } }) => {
        const answer = await file(assetPath, { method: 'HEAD' });
        const bytes = answer.headers['content-length'];
        if (answer.status !== 200) return `${assetPath} ${answered(answer)}`;
        if (isPage(answer)) return `a page (HTML) is served instead of ${assetPath}`;
        // There is one digest for each chunk, and only the last chunk may be shorter.
        const [
          {
            chunkSize,
            encryptedChunkDigests: { length },
          } = { chunkSize: 0, encryptedChunkDigests: [] },
        ] = hashes;
        if (bytes === undefined || length === 0 || Math.ceil(Number(bytes) / chunkSize) === length) return undefined;
        return `${assetPath} has ${bytes} bytes, but the manifest has ${length} chunks of ${chunkSize}`;
      }),
    );
    const [first, ...others] = faults.filter((fault) => fault !== undefined);
    if (first === undefined) return ok(`${variants.length} variants are served`);
    const more = others.length > 0 ? `, and ${others.length} more are missing or differ` : '';
    return fail(`${first}${more}`, 'Upload the folder variant/ of the package again, unchanged.');
  }),
];
