/**
 * Reads the settings for devices: the contents of `.well-known/marketplace-kit`, the authorization of devices, and the
 * location of packages.
 */

import { resolve } from 'node:path';
import { z } from 'zod';
import { absoluteUrl, appleId, MAX_POLLING_HOURS } from './forms.ts';
import type { Problem } from './problems.ts';
import type { Read } from './read.ts';
import type { SettingName, Values } from './settings.ts';

/** The `license` block of `.well-known/marketplace-kit`, by Apple's names (docs/apple-facts.md §3.1). */
const licenseUrls = z.strictObject({
  dynamicLicenseURL: absoluteUrl.optional(),
  licenseRenewalURL: absoluteUrl.optional(),
  licenseResolutionURL: absoluteUrl.optional(),
  signingCertificateURL: absoluteUrl.optional(),
  encryptionCertificateURL: absoluteUrl.optional(),
});

/** YAML integers arrive as bigints. */
export const wholeNumber = (min: number, max: number) =>
  z
    .union([z.number(), z.bigint()], `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine(
      (value) => Number.isInteger(value) && value >= min && value <= max,
      `expected a whole number from ${min} to ${max}`,
    )
    .meta({ type: 'integer', minimum: min, maximum: max });

/** The values that differ for one app, for `overridesByAppleItemID`. */
export const marketplaceKitOverride = z.strictObject({
  license: licenseUrls.optional(),
  restore: absoluteUrl.optional(),
  updates: z
    .strictObject({ url: absoluteUrl.optional(), pollingInterval: wholeNumber(1, MAX_POLLING_HOURS).optional() })
    .optional(),
});

/** Rules by AppleVersionID: no device gets the version, or only a share of the devices gets it as an update. */
export const versionRules = z.record(
  appleId,
  z.union(
    [z.strictObject({ hold: z.literal(true) }), z.strictObject({ percent: wholeNumber(0, 100) })],
    'expected { hold: true } or { percent: 0 to 100 }',
  ),
);

/** Removes slashes at the end. */
export const withoutSlash = (url: string) => url.replace(/\/+$/, '');

/** Returns the settings for devices. Adds a problem to `problems` for each contradiction. */
export function deviceSideOf(read: Read, domain: string, problems: Problem[]) {
  const { values } = read;
  const license = {
    dynamicLicenseURL: values.WEBDIST_LICENSE_DYNAMIC_URL,
    licenseRenewalURL: values.WEBDIST_LICENSE_RENEWAL_URL,
    licenseResolutionURL: values.WEBDIST_LICENSE_RESOLUTION_URL,
    signingCertificateURL: values.WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL,
    encryptionCertificateURL: values.WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL,
  };
  if (values.WEBDIST_PUBLIC_URL && new URL(values.WEBDIST_PUBLIC_URL).search)
    problems.push({ variable: 'WEBDIST_PUBLIC_URL', message: 'expected a URL without a query' });
  const hasLicense = Object.values(license).some((url) => url !== undefined);
  return {
    publicUrl: withoutSlash(values.WEBDIST_PUBLIC_URL ?? `https://${domain}`),
    license,
    updatesPollingHours: values.WEBDIST_UPDATES_POLLING_HOURS,
    heldRestore: values.WEBDIST_HELD_RESTORE,
    /**
     * Customers who sign in on the website have a credential. Without a sign-in, no credential is required by default.
     */
    isCredentialRequired:
      values.WEBDIST_ANONYMOUS === 'none' ||
      (values.WEBDIST_DEVICE_CREDENTIAL ?? (values.WEBDIST_AUTH_ISSUER && 'required')) === 'required',
    oauth: oauthOf(read, hasLicense, problems),
  };
}

/** webdist's own OAuth is on by default only if device endpoints are configured. */
function oauthOf({ values, given }: Read, hasLicense: boolean, problems: Problem[]) {
  const { WEBDIST_OAUTH_AUTHORIZE_URL: authorizeUrl, WEBDIST_OAUTH_TOKEN_URL: tokenUrl } = values;
  const { WEBDIST_OAUTH_LOGIN_URL: loginUrl, WEBDIST_AUTH_ISSUER: issuer, WEBDIST_OAUTH: choice } = values;
  if (!given.has('WEBDIST_OAUTH_AUTHORIZE_URL') && !given.has('WEBDIST_OAUTH_TOKEN_URL')) {
    const isOwn = choice === undefined ? hasLicense || loginUrl !== undefined : choice === 'own';
    return isOwn ? ({ kind: 'own', loginUrl } as const) : undefined;
  }
  const report = (variable: SettingName, message: string) => problems.push({ variable, message });
  const require = (variable: SettingName, message: string) => given.has(variable) || report(variable, message);
  require('WEBDIST_OAUTH_AUTHORIZE_URL', 'is required with WEBDIST_OAUTH_TOKEN_URL');
  require('WEBDIST_OAUTH_TOKEN_URL', 'is required with WEBDIST_OAUTH_AUTHORIZE_URL');
  require('WEBDIST_AUTH_ISSUER', 'is required with WEBDIST_OAUTH_TOKEN_URL, to verify the tokens of that server');
  if (choice === 'own' || loginUrl)
    report(
      'WEBDIST_OAUTH_TOKEN_URL',
      "is for the website's own OAuth server; with it, unset WEBDIST_OAUTH and WEBDIST_OAUTH_LOGIN_URL",
    );
  return {
    kind: 'website',
    authorizeUrl: authorizeUrl ?? '',
    tokenUrl: tokenUrl ?? '',
    issuer: issuer ?? '',
  } as const;
}

/**
 * Returns the folder of pulled packages, and the URL at which the website serves it. Without a URL, the service ignores
 * the folder.
 */
export function packagesIn(values: Values) {
  const url = values.WEBDIST_PACKAGES_URL;
  return {
    dir: resolve(values.WEBDIST_PACKAGES_DIR ?? resolve(values.WEBDIST_DATA_DIR, 'packages')),
    url: url && withoutSlash(url),
    keep: values.WEBDIST_PACKAGES_KEEP,
  };
}
