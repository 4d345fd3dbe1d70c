/** The package of each app, as the service reads it: its address, its manifest, and that it is the app's (docs/apple-facts.md §5). */

import { z } from 'zod';
import type { AppConfig } from '../config/config.ts';
import { type Check, type Finding, fail, ok, warn, worstOf } from './check.ts';

const manifest = z.object({
  appleItemId: z.unknown(),
  bundleId: z.unknown(),
  appleVersionId: z.unknown(),
  platforms: z.array(z.string()).catch([]),
  minimumSystemVersions: z.record(z.string(), z.string()).catch({}),
  variants: z.array(z.object({ publicId: z.string(), assetPath: z.string() })).catch([]),
});

/** The members of a `manifest.json` that are looked at. */
export type ManifestMembers = z.output<typeof manifest>;

/** Gives undefined when the text is no manifest. */
export function parseManifest(text: string): ManifestMembers | undefined {
  try {
    return manifest.safeParse(JSON.parse(text)).data;
  } catch {
    // The check `package-manifest` says so.
    return undefined;
  }
}

const perManifest = (
  id: string,
  why: string,
  judge: (app: AppConfig, members: ManifestMembers) => Finding | undefined,
): Check => ({
  id,
  section: 'private',
  why,
  async look({ manifests }) {
    return worstOf(
      (await manifests()).map(({ app, text }) => {
        const members = text === undefined ? undefined : parseManifest(text);
        return members && judge(app, members);
      }),
    );
  },
});

export const packageChecks: readonly Check[] = [
  {
    id: 'package-url',
    section: 'private',
    why: 'Without the address of its package an app has no install link.',
    look: ({ config }) =>
      config &&
      worstOf(
        config.apps.map(({ bundleId, packageUrl }) =>
          packageUrl ? ok(packageUrl) : warn(`${bundleId} has none`, 'Set WEBDIST_PACKAGE_URL (or packageUrl).'),
        ),
      ),
  },
  {
    id: 'package-host',
    section: 'private',
    why: 'iOS takes a package only from the host of the page, on the registered domain.',
    look: ({ config }) =>
      config &&
      worstOf(
        config.apps.map(({ packageUrl }) => {
          if (packageUrl === undefined) return undefined;
          const { hostname, port, search } = new URL(packageUrl);
          if (hostname !== config.domain && !hostname.endsWith(`.${config.domain}`))
            return fail(
              `${hostname} is not ${config.domain} or below it`,
              'Mend WEBDIST_PACKAGE_URL or WEBDIST_DOMAIN.',
            );
          return port || search
            ? warn(`${packageUrl} has a ${port ? 'port' : 'query'}`, 'Serve the package at a plain https address.')
            : ok(hostname);
        }),
      ),
  },
  {
    id: 'package-manifest',
    section: 'private',
    why: 'The manifest tells the version for `vid`; with it an install is faster.',
    look: async ({ manifests }) =>
      worstOf(
        (await manifests()).map(({ app, text, problem }) => {
          const hint = 'Check WEBDIST_PACKAGE_URL, or say with WEBDIST_PACKAGE_MANIFEST where to read it.';
          if (text === undefined) return fail(`${app.bundleId}: manifest.json cannot be read (${problem})`, hint);
          return parseManifest(text)
            ? ok(`${app.bundleId}: readable`)
            : fail(`${app.bundleId}: what is there is no manifest.json`, hint);
        }),
      ),
  },
  perManifest('package-app', 'A device compares the ids of the token with those of the manifest.', (app, members) => {
    const { bundleId, appleItemId } = members;
    return bundleId === app.bundleId && appleItemId === app.appleItemId
      ? ok(`${app.bundleId}: the manifest is this app's`)
      : fail(
          `${app.bundleId} (${app.appleItemId}): the manifest is of ${String(bundleId)} (${String(appleItemId)})`,
          'Put the package of this app there, or fix WEBDIST_BUNDLE_ID and WEBDIST_APPLE_ITEM_ID.',
        );
  }),
  perManifest('package-version', '`vid` is a decimal string; anything else is left out or refused.', (app, members) =>
    typeof members.appleVersionId === 'string' && /^[1-9]\d{0,19}$/.test(members.appleVersionId)
      ? ok(`${app.bundleId}: version ${members.appleVersionId}`)
      : fail(
          `${app.bundleId}: appleVersionId is not a decimal string`,
          'Download the package from Apple again, whole.',
        ),
  ),
  perManifest('package-platform', 'Web distribution is for iOS and iPadOS, from 17.5 and 18.0.', (app, members) => {
    const platforms = members.platforms.map((platform) => platform.toLowerCase());
    if (!platforms.some((platform) => platform === 'ios' || platform === 'ipados'))
      return fail(`${app.bundleId}: platforms are ${platforms.join(', ') || 'none'}`, 'Serve the iOS package.');
    return ok(`${app.bundleId}: ${platforms.join(', ')} from ${members.minimumSystemVersions['ios'] ?? 'unknown'}`);
  }),
  perManifest('package-variants', 'A device downloads the variant that fits it.', (app, { variants }) =>
    variants.length > 0
      ? ok(`${app.bundleId}: ${variants.length}`)
      : fail(`${app.bundleId}: the manifest has no variants`, 'Wait until Apple has made them, and download it again.'),
  ),
];
