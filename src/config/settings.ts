/**
 * The table of every setting: name, form, default and purpose. The types of the values are derived from it, and the
 * table of settings in the documentation is checked against it.
 */

import { z } from 'zod';
import { SINK_FORMS } from '../audit/sinks.ts';
import { MAX_LIFETIME_SECONDS, MIN_LIFETIME_SECONDS } from '../install-token/times.ts';
import { isLedgerUrl, LEDGER_FORMS, ledgerBackend } from '../ledger/ledger.ts';
import { evidenceKinds } from '../ledger/rule.ts';
import { ESCAPING_HINT, isConnectionUrl } from './connection-url.ts';
import {
  absoluteUrl,
  apiKey,
  appleId,
  auditSink,
  bundleId,
  challenge,
  collectorUrl,
  domainName,
  line,
  linkedUrl,
  list,
  listenAddress,
  MAX_POLLING_HOURS,
  oneOf,
  oneOfAnyCase,
  origin,
  proxyRange,
  ratio,
  readableUrl,
  redisUrl,
  serverUrl,
  whole,
} from './forms.ts';
import { locatorOrKey, locators } from './key-forms.ts';

const ledgerUrl = z
  .string()
  .refine(isLedgerUrl, { message: `expected ${LEDGER_FORMS}`, abort: true })
  // The URL of a server has a host and a login, which the URL of a file does not have.
  .refine((text) => !/^[a-z]+:\/\/[^/]/.test(text) || isConnectionUrl(text), { message: ESCAPING_HINT, abort: true })
  .superRefine((text, context) => {
    const message = ledgerBackend(text).problemOf?.(text);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  });

const milliseconds = whole(0, 86_400_000);
const spans = whole(1, 1_000_000);

/** One setting. `about` follows the name in the documentation. The value of a secret is never shown. */
export type Setting = {
  readonly form: z.ZodType;
  readonly default?: string;
  readonly about: string;
  readonly isSecret?: true;
};

/** Every setting. `default` applies if the variable is not set. */
export const settings = {
  HOST: {
    form: listenAddress,
    default: '127.0.0.1',
    about: 'address to listen on (image: `0.0.0.0`); `::` is every address, IPv6 and IPv4',
  },
  PORT: { form: whole(0, 65535), default: '8080', about: 'port to listen on' },
  WEBDIST_OPERATOR_PORT: {
    form: whole(0, 65535),
    about:
      'second port, for metrics, health with its body, and the description of the API; the first port then serves none of these',
  },
  WEBDIST_OPERATOR_HOST: {
    form: listenAddress,
    about: 'address to listen on for WEBDIST_OPERATOR_PORT (default: HOST)',
  },
  WEBDIST_DOCS: { form: oneOf('on', 'off'), default: 'on', about: 'whether `/docs` and `/openapi.json` are served' },
  LOG_LEVEL: {
    form: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: 'info',
    about: 'lowest level that is logged',
  },
  WEBDIST_START_JITTER_SECONDS: {
    form: whole(0, 600),
    default: '0',
    about: 'longest random wait before a replica opens anything, so that a fleet does not start all at once',
  },
  WEBDIST_DRAIN_SECONDS: {
    form: whole(0, 3600),
    default: '3',
    about: 'how long a replica reports "not ready" and continues to answer requests before it stops',
  },
  WEBDIST_MODE: {
    form: oneOf('production', 'sandbox'),
    about: '`production` or `sandbox` (default: `production` when an app is named or with `NODE_ENV=production`)',
  },
  WEBDIST_CONFIG: { form: line, about: 'YAML or JSON file with the domain and the apps, for more than one app' },
  WEBDIST_DOMAIN: { form: domainName, about: "the website's fully qualified domain" },
  WEBDIST_APPLE_ITEM_ID: { form: appleId, about: "the app's AppleItemID (its Apple ID in App Store Connect)" },
  WEBDIST_BUNDLE_ID: { form: bundleId, about: "the app's bundle id" },
  WEBDIST_KEY: {
    form: locators,
    about: 'locator of the distribution key, or several candidates separated by spaces',
  },
  WEBDIST_KEY_ID: { form: line, about: 'id of the registered key, for `WEBDIST_REGISTER=off` only' },
  WEBDIST_PACKAGE_URL: { form: linkedUrl, about: "URL at which the app's package is served" },
  WEBDIST_PACKAGE_MANIFEST: {
    form: readableUrl,
    about: 'URL at which this service reads `manifest.json` (`https:` or `file:`; default: below the package URL)',
  },
  WEBDIST_APP_SHARE_URL: { form: linkedUrl, about: 'product page, for `appShareURL`' },
  WEBDIST_TOKEN_LIFETIME: {
    form: whole(MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS),
    default: '1200',
    about: `seconds a token is valid, ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}`,
  },
  WEBDIST_KEY_SCOPE: {
    form: oneOf('app', 'account'),
    default: 'app',
    about: 'whether a new key is registered for the app or for the account',
  },
  WEBDIST_REGISTER: {
    form: oneOf('ensure', 'check', 'off'),
    default: 'ensure',
    about:
      'what to do at start-up: `ensure` registers a key or domain that was never registered, `check` only compares, `off` does not call Apple',
  },
  WEBDIST_REGISTER_INTERVAL: {
    form: whole(5, 86400),
    default: '300',
    about: 'seconds between two checks of the registration',
  },
  WEBDIST_ALLOWED_ORIGINS: { form: list(origin), about: 'further origins whose pages may call the service' },
  WEBDIST_ANONYMOUS: {
    form: oneOf('pages', 'any', 'none'),
    default: 'pages',
    about: 'which callers need no credential (sandbox mode: `any`)',
  },
  WEBDIST_CHALLENGE: {
    form: challenge,
    about:
      'bot challenge whose response a page must send: `turnstile`, `hcaptcha`, or the URL of a server with the same `siteverify` protocol (default: none; docs/threat-model.md)',
  },
  WEBDIST_CHALLENGE_SECRET: {
    form: line,
    isSecret: true,
    about: 'the secret that is sent to the server of the challenge',
  },
  WEBDIST_API_KEYS: {
    form: list(apiKey),
    about: 'server-to-server keys, `name:sha256hex[:tokens-a-minute[:end-date]]`, comma-separated',
  },
  WEBDIST_AUTH_JWKS_URL: {
    form: absoluteUrl,
    about: "JWKS of the website's own sign-in; when set, callers present its JWT",
  },
  WEBDIST_AUTH_ISSUER: { form: line, about: '`iss` that those JWTs must have' },
  WEBDIST_AUTH_AUDIENCE: { form: line, about: '`aud` that those JWTs must have' },
  WEBDIST_AUTH_AUDIENCE_CLAIM: {
    form: oneOf('aud', 'client_id'),
    default: 'aud',
    about:
      'the claim that is compared with `WEBDIST_AUTH_AUDIENCE`; `client_id` for access tokens without `aud`, such as those of Amazon Cognito',
  },
  WEBDIST_LEDGER: {
    form: ledgerUrl,
    about: `${LEDGER_FORMS} (default: SQLite in the data folder)`,
  },
  WEBDIST_LEDGER_READ: {
    form: ledgerUrl.refine((text) => ledgerBackend(text).loadReplica !== undefined, 'expected postgres://…'),
    about: '`postgres://…` of a read replica of the ledger; lookups go to it, evidence goes to `WEBDIST_LEDGER`',
  },
  PGPASSWORD: {
    form: line,
    isSecret: true,
    about: 'password for PostgreSQL, where the URL has none; a `PGPASSWORD_FILE` is read again when a login is refused',
  },
  WEBDIST_LEDGER_SECRET: {
    form: line.min(32, 'expected at least 32 characters (openssl rand -base64 32)'),
    isSecret: true,
    about:
      'keys the hash of subjects, signs the device cookie and encrypts nonces (default: generated into the data folder)',
  },
  WEBDIST_LEDGER_DOWN: {
    form: oneOf('issue', 'refuse'),
    default: 'issue',
    about: 'what to do when the ledger cannot answer',
  },
  WEBDIST_INSTALL_EVIDENCE: {
    form: oneOf(...evidenceKinds),
    default: 'tap',
    about: 'evidence that makes an install count',
  },
  WEBDIST_LEDGER_RETENTION_DAYS: {
    form: whole(0, 36500),
    default: '0',
    about: 'days after which install records are deleted; 0 means never',
  },
  WEBDIST_COOKIE_PREFIX: {
    form: oneOf('none', 'host'),
    default: 'none',
    about: '`host` names the cookie `__Host-webdist_device`, which no sibling host can set (docs/threat-model.md)',
  },
  WEBDIST_COUNTRY_HEADER: {
    form: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'expected the name of a header, such as cf-ipcountry'),
    about: "header in which a trusted proxy passes the visitor's country, for `ccode`",
  },
  WEBDIST_RATE_LIMIT: {
    form: whole(1, 1_000_000_000),
    default: '60',
    about: 'install tokens per minute for one visitor, page or device',
  },
  WEBDIST_RATE_LIMIT_ADDRESS: {
    form: whole(1, 1_000_000_000),
    default: '600',
    about: 'install tokens per minute for one address (IPv6: its /64)',
  },
  WEBDIST_RATE_LIMIT_APP: {
    form: whole(0, 1_000_000_000),
    default: '0',
    about: 'install tokens per minute of all callers for one app; 0 means no limit',
  },
  WEBDIST_RATE_LIMIT_TOTAL: {
    form: whole(0, 1_000_000_000),
    default: '0',
    about: 'install tokens per minute of all callers; 0 means no limit',
  },
  WEBDIST_BUTTON_ERRORS: {
    form: ratio,
    default: '0',
    about: 'share of visits, 0 to 1, that report how far the install button got (`POST /button-errors`); 0 means none',
  },
  WEBDIST_REDIS_URL: {
    form: redisUrl,
    about: 'Redis for rate limits shared by all replicas',
  },
  WEBDIST_TRUST_PROXY: {
    form: list(proxyRange),
    about: 'addresses or CIDR ranges of proxies whose `X-Forwarded-*` headers are trusted',
  },
  WEBDIST_LICENSE_DYNAMIC_URL: { form: absoluteUrl, about: '`license.dynamicLicenseURL`' },
  WEBDIST_LICENSE_RENEWAL_URL: { form: absoluteUrl, about: '`license.licenseRenewalURL`' },
  WEBDIST_LICENSE_RESOLUTION_URL: { form: absoluteUrl, about: '`license.licenseResolutionURL`' },
  WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: { form: absoluteUrl, about: '`license.signingCertificateURL`' },
  WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: { form: absoluteUrl, about: '`license.encryptionCertificateURL`' },
  WEBDIST_PUBLIC_URL: {
    form: absoluteUrl,
    about:
      'where devices reach this service, for `.well-known/marketplace-kit` (default: `https://WEBDIST_DOMAIN`); also the start of the `type` of errors',
  },
  WEBDIST_UPDATES_POLLING_HOURS: {
    form: whole(1, MAX_POLLING_HOURS),
    default: '24',
    about: 'hours between two checks for updates by a device; iOS never checks more than once in 24 hours',
  },
  WEBDIST_HELD_RESTORE: {
    form: oneOf('other', 'fail'),
    default: 'other',
    about:
      'what a restore of a version on hold gets: `other`, the newest version that is not on hold, or `fail`, a failure (404)',
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
    about: "the website's login page, where customers sign in again; for webdist's own OAuth",
  },
  WEBDIST_OAUTH_AUTHORIZE_URL: { form: absoluteUrl, about: "authorization endpoint of the website's own OAuth server" },
  WEBDIST_OAUTH_TOKEN_URL: {
    form: absoluteUrl,
    about: 'token endpoint of that server; its access tokens are verified with `WEBDIST_AUTH_…`',
  },
  WEBDIST_PACKAGES_DIR: { form: line, about: 'folder of `webdist packages` (default: in the data folder)' },
  WEBDIST_PACKAGES_URL: {
    form: absoluteUrl,
    about: 'URL at which that folder is served; when set, links, restores and updates use its versions',
  },
  WEBDIST_WEBHOOK_SECRET: {
    form: line,
    isSecret: true,
    about: "secret of App Store Connect's webhook; when set, `POST /webhooks/app-store-connect` receives it",
  },
  WEBDIST_PACKAGES_KEEP: {
    form: whole(1, 100),
    default: '3',
    about: 'versions of an app that `webdist packages pull` keeps',
  },
  WEBDIST_AUDIT: {
    form: list(auditSink),
    about: `where hash-chained lines for tokens, refused credentials and commands go: ${SINK_FORMS}; several are separated by spaces (default: none; docs/audit.md)`,
  },
  WEBDIST_AUDIT_MAX_MB: {
    form: whole(0, 1_000_000),
    default: '1024',
    about:
      'megabytes that an audit file and its predecessor may have together; older lines are deleted; 0 means no limit',
  },
  WEBDIST_DATA_DIR: { form: line, default: '.webdist', about: 'folder for embedded state' },
  WEBDIST_DOCTOR_MINUTES: {
    form: whole(0, 1440),
    default: '0',
    about:
      'minutes between two rounds of checks of `webdist doctor` in the background, which become metrics; 0 means none (docs/doctor.md)',
  },
  WEBDIST_DOCTOR_PUBLIC: {
    form: absoluteUrl,
    about: 'the page with the install link, for checks from outside in the background',
  },
  ASC_KEY_ID: {
    form: z.string().regex(/^[A-Za-z0-9]{1,64}$/, 'expected the key id shown beside the API key'),
    about: 'App Store Connect API key id',
  },
  ASC_ISSUER_ID: {
    form: z.guid('expected the issuer id, a UUID, shown above the team keys'),
    about: 'issuer id of a team key; leave unset for an individual key',
  },
  ASC_PRIVATE_KEY: { form: locatorOrKey, about: "the API key's .p8: a locator, or the PEM itself" },
  ASC_PRIVATE_KEY_PATH: { form: line, about: 'path of the .p8' },
  ASC_PRIVATE_KEY_B64: { form: locatorOrKey, isSecret: true, about: 'base64 of the .p8' },
  ASC_BASE_URL: {
    form: serverUrl,
    default: 'https://api.appstoreconnect.apple.com',
    about: 'base URL of the API',
  },
  // OpenTelemetry's own names (OpenTelemetry specification, "Environment Variable Specification").
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    form: collectorUrl,
    about: 'OpenTelemetry collector, such as `http://localhost:4318`; turns traces on (docs/operations.md)',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: { form: collectorUrl, about: 'the same for traces only, with its whole path' },
  OTEL_EXPORTER_OTLP_HEADERS: { form: line, isSecret: true, about: 'headers for the collector, `name=value,…`' },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: { form: line, isSecret: true, about: 'the same for traces only' },
  OTEL_EXPORTER_OTLP_PROTOCOL: { form: oneOfAnyCase('http/protobuf'), about: '`http/protobuf` only' },
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: { form: oneOfAnyCase('http/protobuf'), about: 'the same for traces only' },
  OTEL_TRACES_EXPORTER: { form: oneOfAnyCase('otlp', 'none'), about: '`none` turns traces off, `otlp` on' },
  OTEL_SDK_DISABLED: { form: line, about: '`true` turns traces off' },
  OTEL_SERVICE_NAME: { form: line, about: '`service.name` of traces (default: `webdist`)' },
  OTEL_RESOURCE_ATTRIBUTES: { form: line, about: 'more attributes of this process in traces, `name=value,…`' },
  OTEL_TRACES_SAMPLER: {
    form: oneOfAnyCase(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    default: 'parentbased_always_on',
    about: 'which requests are traced',
  },
  OTEL_TRACES_SAMPLER_ARG: { form: ratio, default: '1', about: 'share of requests for `…traceidratio`, 0 to 1' },
  OTEL_BSP_SCHEDULE_DELAY: { form: milliseconds, default: '5000', about: 'milliseconds between two batches of spans' },
  OTEL_BSP_EXPORT_TIMEOUT: {
    form: milliseconds,
    default: '30000',
    about: 'milliseconds that sending a batch may take',
  },
  OTEL_BSP_MAX_QUEUE_SIZE: { form: spans, default: '2048', about: 'spans that may wait; any beyond that are dropped' },
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: { form: spans, default: '512', about: 'spans in one batch' },
} as const satisfies Record<string, Setting>;

/** The name of a setting. */
export type SettingName = keyof typeof settings;

type Value<N extends SettingName> = z.output<(typeof settings)[N]['form']>;

/** The parsed value of every setting, by name. A setting with a default is never undefined. */
export type Values = {
  readonly [N in SettingName]: (typeof settings)[N] extends { default: string } ? Value<N> : Value<N> | undefined;
};

/**
 * Whether every program with OpenTelemetry reads this variable. If so, a value that is meant for another program is no
 * error here.
 */
export const isAmbient = (name: string): boolean => name.startsWith('OTEL_');
