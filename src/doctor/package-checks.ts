/**
 * Checks the package of each app as the service reads it: the URL, the manifest, and whether the package is of that app
 * (docs/apple-facts.md §5).
 */

import { isAppleId } from '../apple-id.ts';
import { type AppConfig, packageUrlFaults } from '../config/apps.ts';
import { isWithinDomain } from '../host.ts';
import { isKnown } from './apple-account.ts';
import { type Check, type Finding, fail, ok, privateCheck, warn, worstOf } from './check.ts';
import { type ManifestMembers, parseManifest } from './manifest.ts';

/** A check of every manifest that can be parsed. */
const manifestCheck = (
  id: string,
  why: string,
  judge: (app: AppConfig, members: ManifestMembers) => Finding | undefined,
): Check =>
  privateCheck(id, why, async ({ manifests, appleAccount }) => {
    const account = await appleAccount();
    return worstOf(
      (await manifests()).map(({ app, text }) => {
        // With wrong ids, nothing about the app agrees; the check `app-found` reports them.
        if (account && !account.problem && !isKnown(app, account.apps)) return undefined;
        const members = text === undefined ? undefined : parseManifest(text);
        return members && judge(app, members);
      }),
    );
  });

export const packageChecks: readonly Check[] = [
  privateCheck(
    'package-url',
    'Without the URL of its package, an app has no install link.',
    ({ config }) =>
      config &&
      worstOf(
        config.apps.map(({ bundleId, packageUrl }) =>
          packageUrl
            ? ok(packageUrl)
            : warn(`${bundleId} has no package URL`, 'Set WEBDIST_PACKAGE_URL (in WEBDIST_CONFIG: packageUrl).'),
        ),
      ),
  ),
  privateCheck(
    'package-host',
    'iOS accepts a package only from the page’s host, on the registered domain.',
    ({ config }) =>
      config &&
      worstOf(
        config.apps.map(({ packageUrl }) => {
          if (packageUrl === undefined) return undefined;
          const { hostname } = new URL(packageUrl);
          if (!isWithinDomain(hostname, config.domain))
            return fail(
              `${hostname} is neither ${config.domain} nor a subdomain of it`,
              'Correct WEBDIST_PACKAGE_URL or WEBDIST_DOMAIN.',
            );
          const [fault] = packageUrlFaults(packageUrl, config.domain);
          return fault
            ? warn(`${packageUrl} ${fault}`, 'Serve the package in a folder, at a plain https URL.')
            : ok(hostname);
        }),
      ),
  ),
  privateCheck(
    'package-manifest',
    'The manifest contains the version id for the claim `vid`, which makes an install faster.',
    async ({ manifests }) =>
      worstOf(
        (await manifests()).map(({ app, text, problem }) => {
          const hint = 'Check WEBDIST_PACKAGE_URL, or set WEBDIST_PACKAGE_MANIFEST to where the manifest can be read.';
          if (text === undefined) return fail(`${app.bundleId}: manifest.json cannot be read (${problem})`, hint);
          return parseManifest(text)
            ? ok(`${app.bundleId}: readable`)
            : fail(`${app.bundleId}: the file there is not a manifest.json`, hint);
        }),
      ),
  ),
  manifestCheck('package-app', 'A device compares the ids in the token with those in the manifest.', (app, members) => {
    const { bundleId, appleItemId } = members;
    return bundleId === app.bundleId && appleItemId === app.appleItemId
      ? ok(`${app.bundleId}: the manifest is for this app`)
      : fail(
          `${app.bundleId} (${app.appleItemId}): the manifest is for ${String(bundleId)} (${String(appleItemId)})`,
          'Upload the package of this app, or correct WEBDIST_BUNDLE_ID and WEBDIST_APPLE_ITEM_ID.',
        );
  }),
  manifestCheck(
    'package-version',
    '`vid` is a decimal string. If the manifest has anything else, tokens have no `vid`, or devices refuse them.',
    (app, members) =>
      isAppleId(members.appleVersionId)
        ? ok(`${app.bundleId}: version ${members.appleVersionId}`)
        : fail(
            `${app.bundleId}: appleVersionId is not a decimal string`,
            'Download the whole package from Apple again.',
          ),
  ),
  manifestCheck('package-platform', 'Web distribution supports iOS from 17.5 and iPadOS from 18.0.', (app, members) => {
    const platforms = members.platforms.map((platform) => platform.toLowerCase());
    if (!platforms.some((platform) => platform === 'ios' || platform === 'ipados'))
      return fail(`${app.bundleId}: the platforms are ${platforms.join(', ') || 'none'}`, 'Serve the iOS package.');
    return ok(`${app.bundleId}: ${platforms.join(', ')} from ${members.minimumSystemVersions['ios'] ?? 'unknown'}`);
  }),
  manifestCheck('package-variants', 'A device downloads the variant that fits it.', (app, { variants }) =>
    variants.length > 0
      ? ok(`${app.bundleId}: ${variants.length}`)
      : fail(
          `${app.bundleId}: the manifest has no variants`,
          'Wait until Apple has created them, then download the package again.',
        ),
  ),
];
