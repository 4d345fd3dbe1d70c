/**
 * The settings of the device's side: what `.well-known/marketplace-kit` says, who authorizes devices, where packages
 * are.
 */

import { resolve } from 'node:path';
import { z } from 'zod';
import { absoluteUrl, appleId } from './forms.ts';

/** The `license` block of `.well-known/marketplace-kit`, by Apple's names (docs/apple-facts.md §3.1). */
const licenseUrls = z.strictObject({
  dynamicLicenseURL: absoluteUrl.optional(),
  licenseRenewalURL: absoluteUrl.optional(),
  licenseResolutionURL: absoluteUrl.optional(),
  signingCertificateURL: absoluteUrl.optional(),
  encryptionCertificateURL: absoluteUrl.optional(),
});

/** YAML integers arrive as bigints. */
const wholeNumber = (min: number, max: number) =>
  z
    .union([z.number(), z.bigint()], `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine(
      (value) => Number.isInteger(value) && value >= min && value <= max,
      `expected a whole number from ${min} to ${max}`,
    );

/** Longest wait between two looks for updates that makes sense: a year. The OS never asks more than once a day. */
export const MAX_POLLING_HOURS = 8760;

/** What one app says otherwise in `overridesByAppleItemID`. */
export const marketplaceKitOverride = z.strictObject({
  license: licenseUrls.optional(),
  restore: absoluteUrl.optional(),
  updates: z
    .strictObject({ url: absoluteUrl.optional(), pollingInterval: wholeNumber(1, MAX_POLLING_HOURS).optional() })
    .optional(),
});

/** By AppleVersionID: a version that is given to nobody, or as an update to a part of the devices only. */
export const versionRules = z.record(
  appleId,
  z.union(
    [z.strictObject({ hold: z.literal(true) }), z.strictObject({ percent: wholeNumber(0, 100) })],
    'expected { hold: true } or { percent: 0 to 100 }',
  ),
);

type Values = {
  readonly WEBDIST_PUBLIC_URL: string | undefined;
  readonly WEBDIST_UPDATES_POLLING_HOURS: number;
  readonly WEBDIST_DEVICE_CREDENTIAL: 'optional' | 'required' | undefined;
  readonly WEBDIST_OAUTH: 'own' | 'off' | undefined;
  readonly WEBDIST_OAUTH_LOGIN_URL: string | undefined;
  readonly WEBDIST_OAUTH_AUTHORIZE_URL: string | undefined;
  readonly WEBDIST_OAUTH_TOKEN_URL: string | undefined;
  readonly WEBDIST_AUTH_ISSUER: string | undefined;
  readonly WEBDIST_LICENSE_DYNAMIC_URL: string | undefined;
  readonly WEBDIST_LICENSE_RENEWAL_URL: string | undefined;
  readonly WEBDIST_LICENSE_RESOLUTION_URL: string | undefined;
  readonly WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: string | undefined;
  readonly WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: string | undefined;
};

const withoutSlash = (url: string) => url.replace(/\/+$/, '');

/** Gives what the device's side works with; adds to `problems` what does not go together. */
export function readDeviceSide(values: Values, domain: string, problems: string[]) {
  const license = {
    dynamicLicenseURL: values.WEBDIST_LICENSE_DYNAMIC_URL,
    licenseRenewalURL: values.WEBDIST_LICENSE_RENEWAL_URL,
    licenseResolutionURL: values.WEBDIST_LICENSE_RESOLUTION_URL,
    signingCertificateURL: values.WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL,
    encryptionCertificateURL: values.WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL,
  };
  if (values.WEBDIST_PUBLIC_URL && new URL(values.WEBDIST_PUBLIC_URL).search)
    problems.push('WEBDIST_PUBLIC_URL: expected an address without a query');
  const hasLicense = Object.values(license).some((url) => url !== undefined);
  return {
    publicUrl: withoutSlash(values.WEBDIST_PUBLIC_URL ?? `https://${domain}`),
    license,
    updatesPollingHours: values.WEBDIST_UPDATES_POLLING_HOURS,
    /** Website customers who sign in have a credential; without a sign-in nobody need have one. */
    isCredentialRequired:
      (values.WEBDIST_DEVICE_CREDENTIAL ?? (values.WEBDIST_AUTH_ISSUER && 'required')) === 'required',
    oauth: readOAuth(values, hasLicense, problems),
  };
}

/** Nothing is put into links that a device would then look for in vain: webdist's own OAuth is on with its device's side. */
function readOAuth(values: Values, hasLicense: boolean, problems: string[]) {
  const { WEBDIST_OAUTH_AUTHORIZE_URL: authorizeUrl, WEBDIST_OAUTH_TOKEN_URL: tokenUrl } = values;
  const { WEBDIST_OAUTH_LOGIN_URL: loginUrl, WEBDIST_AUTH_ISSUER: issuer, WEBDIST_OAUTH: choice } = values;
  if (authorizeUrl || tokenUrl) {
    if (!authorizeUrl) problems.push('WEBDIST_OAUTH_AUTHORIZE_URL: is required with WEBDIST_OAUTH_TOKEN_URL');
    if (!tokenUrl) problems.push('WEBDIST_OAUTH_TOKEN_URL: is required with WEBDIST_OAUTH_AUTHORIZE_URL');
    if (!issuer)
      problems.push("WEBDIST_AUTH_ISSUER: is required with WEBDIST_OAUTH_TOKEN_URL: that server's tokens are verified");
    if (choice === 'own' || loginUrl)
      problems.push('WEBDIST_OAUTH_TOKEN_URL: is for a server of your own; leave out WEBDIST_OAUTH and its login page');
    return {
      kind: 'website',
      authorizeUrl: authorizeUrl ?? '',
      tokenUrl: tokenUrl ?? '',
      issuer: issuer ?? '',
    } as const;
  }
  const isOwn = choice === undefined ? hasLicense || loginUrl !== undefined : choice === 'own';
  return isOwn ? ({ kind: 'own', loginUrl } as const) : undefined;
}

type PackageValues = {
  readonly WEBDIST_PACKAGES_DIR: string | undefined;
  readonly WEBDIST_PACKAGES_URL: string | undefined;
  readonly WEBDIST_PACKAGES_KEEP: number;
};

/** Where pulled packages are, and where the website serves that folder. Without an address the service leaves it alone. */
export function readPackages(values: PackageValues, dataDir: string) {
  const url = values.WEBDIST_PACKAGES_URL;
  return {
    dir: resolve(values.WEBDIST_PACKAGES_DIR ?? resolve(dataDir, 'packages')),
    url: url && withoutSlash(url),
    keep: values.WEBDIST_PACKAGES_KEEP,
  };
}
