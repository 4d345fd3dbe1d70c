/**
 * The document at `.well-known/marketplace-kit` (Apple: "Licensing alternative distribution apps", "Installing your
 * app from your website"; docs/apple-facts.md §3.1). Pure.
 */

/** The `license` block, with Apple's names. Absolute https URLs. */
type LicenseUrls = {
  readonly dynamicLicenseURL?: string | undefined;
  readonly licenseRenewalURL?: string | undefined;
  readonly licenseResolutionURL?: string | undefined;
  readonly signingCertificateURL?: string | undefined;
  readonly encryptionCertificateURL?: string | undefined;
};

type App = {
  readonly appleItemId: string;
  readonly marketplaceKit?:
    | {
        readonly license?: LicenseUrls | undefined;
        readonly restore?: string | undefined;
        readonly updates?:
          | { readonly url?: string | undefined; readonly pollingInterval?: number | undefined }
          | undefined;
      }
    | undefined;
};

/** The settings that the document is built from. */
export type ConfigurationInput = {
  /** The address at which devices reach this service, without a trailing slash. */
  readonly publicUrl: string;
  readonly license: LicenseUrls;
  readonly updatesPollingHours: number;
  readonly apps: readonly App[];
};

/** Paths below the public address. */
export const RESTORE_PATH = '/marketplace-kit/restore';
export const UPDATES_PATH = '/marketplace-kit/updates';

/** Apple's licensing page requires all five. */
const LICENSE_NAMES = [
  'dynamicLicenseURL',
  'licenseRenewalURL',
  'licenseResolutionURL',
  'signingCertificateURL',
  'encryptionCertificateURL',
] as const;

/**
 * The document. An app with its own values gets a complete copy of the configuration at the end of the document, as
 * Apple requires.
 */
export function marketplaceKitConfiguration({ publicUrl, license, updatesPollingHours, apps }: ConfigurationInput) {
  const common = {
    license: given(license),
    restore: `${publicUrl}${RESTORE_PATH}`,
    updates: { url: `${publicUrl}${UPDATES_PATH}`, pollingInterval: updatesPollingHours },
  };
  const overrides = apps.flatMap(({ appleItemId, marketplaceKit: own }) =>
    own === undefined
      ? []
      : [
          [
            appleItemId,
            {
              license: { ...common.license, ...given(own.license ?? {}) },
              restore: own.restore ?? common.restore,
              updates: {
                url: own.updates?.url ?? common.updates.url,
                pollingInterval: own.updates?.pollingInterval ?? updatesPollingHours,
              },
            },
          ] as const,
        ],
  );
  return { ...common, ...(overrides.length > 0 && { overridesByAppleItemID: Object.fromEntries(overrides) }) };
}

/** Returns the URLs that are set, in Apple's order. */
function given(license: LicenseUrls): Record<string, string> {
  const entries = LICENSE_NAMES.map((name) => [name, license[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [(typeof LICENSE_NAMES)[number], string] => !!entry[1]));
}

/** Returns what the document lacks for devices, one sentence each; empty if it is complete. */
export function configurationWarnings(input: ConfigurationInput): string[] {
  const document = marketplaceKitConfiguration(input);
  const copies = [document, ...Object.values(document.overridesByAppleItemID ?? {})];
  const missing = LICENSE_NAMES.filter((name) => copies.some(({ license }) => license[name] === undefined));
  const warnings =
    missing.length === 0 ? [] : [`license lacks ${missing.join(', ')}: without a licence, no app can be installed`];
  const hours = copies.map(({ updates }) => updates.pollingInterval).filter((interval) => interval < 24);
  if (hours.length > 0) warnings.push('a pollingInterval is below 24 hours; the OS polls at most once in 24 hours');
  return warnings;
}
