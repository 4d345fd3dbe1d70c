/**
 * The table of every setting: name, form, default and what it is for. The whole truth: types are derived from it and
 * the README's table is checked against it.
 */

import { isIP } from 'node:net';
import { z } from 'zod';
import { isLedgerUrl, LEDGER_FORMS } from '../ledger/ledger.ts';
import { MAX_POLLING_HOURS } from './device-side.ts';
import { absoluteUrl, appleId, bundleId, domainName, locators, oneOf, readableUrl, serverUrl, whole } from './forms.ts';
import { tracingSettings } from './tracing.ts';

const list = (item: z.ZodType<string, string>, separator: RegExp) =>
  z
    .string()
    .transform((text) => text.split(separator).filter(Boolean))
    .pipe(z.array(item));

const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  message: 'expected origins such as https://shop.example.com, without a path or a trailing slash',
});

const proxy = z.string().refine(isAddressRange, {
  message:
    'expected addresses or CIDR ranges of your proxies; a number or "true" would let visitors choose their address',
});

const apiKey = z.string().regex(/^[A-Za-z0-9_.-]{1,64}:[0-9a-f]{64}$/, {
  message: 'expected name:sha256hex, separated by commas (printf %s "$KEY" | sha256sum)',
});

const ledgerUrl = z.string().refine(isLedgerUrl, `expected ${LEDGER_FORMS}`);

/** What one setting is. */
export type Setting = { readonly form: z.ZodType; readonly default?: string; readonly about: string };

/** Every setting. `default` is the text that stands in where nothing is given. */
export const settings = {
  HOST: { form: z.string(), default: '127.0.0.1', about: 'address to listen on (image: `0.0.0.0`)' },
  PORT: { form: whole(0, 65535), default: '8080', about: 'port to listen on' },
  LOG_LEVEL: {
    form: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: 'info',
    about: 'least level that is logged',
  },
  WEBDIST_MODE: { form: oneOf('production', 'sandbox'), about: '`production` or `sandbox`' },
  WEBDIST_CONFIG: { form: z.string(), about: 'YAML or JSON file with the domain and the apps, for more than one app' },
  WEBDIST_DOMAIN: { form: domainName, about: "the website's fully qualified domain" },
  WEBDIST_APPLE_ITEM_ID: { form: appleId, about: "the app's AppleItemID (its Apple ID in App Store Connect)" },
  WEBDIST_BUNDLE_ID: { form: bundleId, about: "the app's bundle id" },
  WEBDIST_KEY: {
    form: locators,
    about: 'locator of the distribution key; several, separated by spaces, are candidates',
  },
  WEBDIST_KEY_ID: { form: z.string(), about: 'id of the registered key, for `WEBDIST_REGISTER=off` only' },
  WEBDIST_PACKAGE_URL: { form: absoluteUrl, about: "where the app's package is served" },
  WEBDIST_PACKAGE_MANIFEST: {
    form: readableUrl,
    about: 'where this service reads `manifest.json`, when not below the package URL (`https:` or `file:`)',
  },
  WEBDIST_APP_SHARE_URL: { form: absoluteUrl, about: 'product page, for `appShareURL`' },
  WEBDIST_TOKEN_LIFETIME: { form: whole(60, 3600), default: '1200', about: 'seconds a token is good for, 60 to 3600' },
  WEBDIST_KEY_SCOPE: {
    form: oneOf('app', 'account'),
    default: 'app',
    about: 'whether a new key is made for the app or the account',
  },
  WEBDIST_REGISTER: {
    form: oneOf('ensure', 'check', 'off'),
    default: 'ensure',
    about: 'at start-up: create what is missing, only compare, or do not ask Apple',
  },
  WEBDIST_REGISTER_INTERVAL: {
    form: whole(5, 86400),
    default: '300',
    about: 'seconds between two looks at what is registered',
  },
  WEBDIST_ALLOWED_ORIGINS: { form: list(origin, /[\s,]+/), about: 'further origins whose pages may call' },
  WEBDIST_ANONYMOUS: {
    form: oneOf('pages', 'any', 'none'),
    default: 'pages',
    about: 'who may call without a credential (sandbox mode: `any`)',
  },
  WEBDIST_API_KEYS: { form: list(apiKey, /[\s,]+/), about: 'server-to-server keys, `name:sha256hex`, comma separated' },
  WEBDIST_AUTH_JWKS_URL: {
    form: absoluteUrl,
    about: "JWKS of the website's own sign-in; when set, callers present its JWT",
  },
  WEBDIST_AUTH_ISSUER: { form: z.string(), about: '`iss` those JWTs must have' },
  WEBDIST_AUTH_AUDIENCE: { form: z.string(), about: '`aud` those JWTs must have' },
  WEBDIST_LEDGER: {
    form: ledgerUrl,
    about: '`sqlite:///path`, `postgres://…`, `memory:` or `off` (default: SQLite in the data folder)',
  },
  WEBDIST_LEDGER_SECRET: {
    form: z.string().min(32, 'expected at least 32 characters (openssl rand -base64 32)'),
    about: 'keys the hash of subjects and signs the device cookie (default: made in the data folder)',
  },
  WEBDIST_LEDGER_DOWN: { form: oneOf('issue', 'refuse'), default: 'issue', about: 'when the ledger cannot answer' },
  WEBDIST_INSTALL_EVIDENCE: {
    form: oneOf('confirm', 'tap', 'issue'),
    default: 'tap',
    about: 'what makes an install count',
  },
  WEBDIST_LEDGER_RETENTION_DAYS: {
    form: whole(0, 36500),
    default: '0',
    about: 'days after which records of installs are deleted; 0 is never',
  },
  WEBDIST_COUNTRY_HEADER: {
    form: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'expected the name of a header, such as cf-ipcountry'),
    about: "header in which a trusted proxy gives the visitor's country, for `ccode`",
  },
  WEBDIST_RATE_LIMIT: { form: whole(1, 1_000_000_000), default: '60', about: 'requests a minute for one visitor' },
  WEBDIST_RATE_LIMIT_ADDRESS: {
    form: whole(1, 1_000_000_000),
    default: '600',
    about: 'requests a minute for one address (IPv6: its /64)',
  },
  WEBDIST_RATE_LIMIT_APP: {
    form: whole(0, 1_000_000_000),
    default: '0',
    about: 'requests a minute of all pages for one app; 0 is no limit',
  },
  WEBDIST_RATE_LIMIT_TOTAL: {
    form: whole(0, 1_000_000_000),
    default: '0',
    about: 'requests a minute of all pages; 0 is no limit',
  },
  WEBDIST_REDIS_URL: {
    form: z.string().regex(/^rediss?:\/\/./, 'expected redis://… or rediss://…'),
    about: 'rate limits shared by all replicas',
  },
  WEBDIST_TRUST_PROXY: {
    form: list(proxy, /[\s,]+/),
    about: 'addresses or CIDR ranges of proxies whose `X-Forwarded-*` count',
  },
  WEBDIST_LICENSE_DYNAMIC_URL: { form: absoluteUrl, about: '`license.dynamicLicenseURL`' },
  WEBDIST_LICENSE_RENEWAL_URL: { form: absoluteUrl, about: '`license.licenseRenewalURL`' },
  WEBDIST_LICENSE_RESOLUTION_URL: { form: absoluteUrl, about: '`license.licenseResolutionURL`' },
  WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: { form: absoluteUrl, about: '`license.signingCertificateURL`' },
  WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: { form: absoluteUrl, about: '`license.encryptionCertificateURL`' },
  WEBDIST_PUBLIC_URL: {
    form: absoluteUrl,
    about: 'where devices reach this service, for `.well-known/marketplace-kit` (default: `https://WEBDIST_DOMAIN`)',
  },
  WEBDIST_UPDATES_POLLING_HOURS: {
    form: whole(1, MAX_POLLING_HOURS),
    default: '24',
    about: 'hours a device waits between two looks for updates; never less than 24, whatever is set',
  },
  WEBDIST_DEVICE_CREDENTIAL: {
    form: oneOf('optional', 'required'),
    about: 'whether restore and update requests need an access token (default: only with `WEBDIST_AUTH_ISSUER`)',
  },
  WEBDIST_OAUTH: {
    form: oneOf('own', 'off'),
    about: "webdist's own OAuth for devices, `own` or `off` (default: `own` when a licence URL is set)",
  },
  WEBDIST_OAUTH_LOGIN_URL: {
    form: absoluteUrl,
    about: "the website's login page, where people sign in again; for webdist's own OAuth",
  },
  WEBDIST_OAUTH_AUTHORIZE_URL: { form: absoluteUrl, about: "authorization endpoint of the website's own OAuth server" },
  WEBDIST_OAUTH_TOKEN_URL: {
    form: absoluteUrl,
    about: 'its token endpoint; its access tokens are verified as `WEBDIST_AUTH_…` says',
  },
  WEBDIST_PACKAGES_DIR: { form: z.string(), about: 'folder of `webdist packages` (default: in the data folder)' },
  WEBDIST_PACKAGES_URL: {
    form: absoluteUrl,
    about: 'where that folder is served; then links, restores and updates use its versions',
  },
  WEBDIST_PACKAGES_KEEP: {
    form: whole(1, 100),
    default: '3',
    about: 'versions of an app that `webdist packages pull` keeps',
  },
  WEBDIST_AUDIT: {
    form: z.string(),
    about: 'file to which one line for each token is appended, hash-chained; none is written without (docs/audit.md)',
  },
  WEBDIST_DATA_DIR: { form: z.string(), default: '.webdist', about: 'folder for what webdist remembers' },
  ASC_KEY_ID: {
    form: z.string().regex(/^[A-Za-z0-9]{1,64}$/, 'expected the key id shown beside the API key'),
    about: 'App Store Connect API key id',
  },
  ASC_ISSUER_ID: {
    form: z.guid('expected the issuer id, a UUID, shown above the team keys'),
    about: 'issuer id of a team key; none means an individual key',
  },
  ASC_PRIVATE_KEY: { form: z.string(), about: "the API key's .p8: a locator, or the PEM itself" },
  ASC_PRIVATE_KEY_PATH: { form: z.string(), about: 'path of the .p8' },
  ASC_PRIVATE_KEY_B64: { form: z.string(), about: 'base64 of the .p8' },
  ASC_BASE_URL: {
    form: serverUrl,
    default: 'https://api.appstoreconnect.apple.com',
    about: 'base address of the API',
  },
  ...tracingSettings,
} as const satisfies Record<string, Setting>;

function isAddressRange(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}
