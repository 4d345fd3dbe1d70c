/**
 * What each problem means, why it happens and what to do about it: one entry for each code of an error, and for each
 * code of the install button. `/problems/CODE` and docs/problems.md show these entries.
 */

import { type ErrorCode, errorTitles } from '../errors.ts';

/** The texts are Markdown without links. */
type Guide = {
  readonly meaning: string;
  readonly why: string;
  /** The next step of the page, the program or the person that got the problem. */
  readonly caller: string;
  /** The next step of the people who run this service. */
  readonly operator: string;
};

/** Codes that only the install button has; `code` of its event `install-state`. */
type ButtonCode =
  | 'elsewhere'
  | 'outdated'
  | 'in-app'
  | 'frame'
  | 'region'
  | 'offline'
  | 'unreachable'
  | 'http_error'
  | 'no_package';

const RETRY = 'Retry after the time in `Retry-After`. The install button does so by itself.';
const REPORT = 'Nothing to correct in the request. Report the code to the operator, with `requestId` if there is one.';
const NOTHING = 'Nothing to do.';

const requests = {
  invalid_request: {
    meaning: 'The body, the query, a header or the URL is malformed. `detail` names the field.',
    why: 'A field is missing, unknown or has the wrong form; the body is not a JSON object; or the URL is not validly encoded.',
    caller: 'Correct the field that `detail` names. At the install button, correct that attribute.',
    operator: 'Compare the caller with `/openapi.json`, which describes every field.',
  },
  unauthorized: {
    meaning: 'A credential is required, or the one that was sent is not valid here.',
    why: 'The call is not from a page and has no API key; the API key is unknown or past its end date; or the website’s sign-in (`WEBDIST_AUTH_JWKS_URL`) requires the customer’s JWT.',
    caller:
      'Send `Authorization: Bearer …` with an API key, or with the customer’s JWT. At the install button, set `accessToken`.',
    operator:
      'Check `WEBDIST_API_KEYS`, `WEBDIST_ANONYMOUS` and the `WEBDIST_AUTH_…` settings. `credential_refused` in the log gives the address.',
  },
  forbidden: {
    meaning: 'The caller is known, but may not do this. `detail` names the field.',
    why: 'A page sets a claim that only a server may set (`subject`, `dtype`, `country`, `version`); an API key is for other apps; or an access token is invalid or expired.',
    caller: 'Leave the field out, or send the request from the website’s server with an API key.',
    operator: 'If the API key should work for this app, add the app to its `apps` in the `WEBDIST_CONFIG` file.',
  },
  origin_not_allowed: {
    meaning: 'Pages of this origin may not request install tokens.',
    why: 'The page’s `Origin` is neither `https://WEBDIST_DOMAIN` nor in `WEBDIST_ALLOWED_ORIGINS`.',
    caller: 'Open the page at the website’s own address.',
    operator:
      'Add the whole origin to `WEBDIST_ALLOWED_ORIGINS`: with `https://`, with the port if it has one, without a trailing slash.',
  },
  challenge_failed: {
    meaning: 'The service requires a bot challenge, and the page sent no valid response to it.',
    why: '`WEBDIST_CHALLENGE` is set. The response is missing, too old, or was used before.',
    caller: 'Send the response of the widget as `challenge`, a new one for each token.',
    operator: 'Check that the widget’s site key and the secret in `WEBDIST_CHALLENGE` belong together.',
  },
  not_found: {
    meaning: 'There is no such path.',
    why: 'The path is misspelt; a proxy adds or removes a prefix; or a setting turns the path off (`WEBDIST_DOCS`, `WEBDIST_OPERATOR_PORT`, `WEBDIST_BUTTON_ERRORS`).',
    caller: 'Compare the path with `/openapi.json`.',
    operator: 'Check the paths in the proxy’s configuration.',
  },
  unknown_app: {
    meaning: 'This service has no app with this name.',
    why: '`app` is neither a bundle id nor an AppleItemID of this service, or it is missing while the service has several apps.',
    caller: 'Send the bundle id or the AppleItemID of the app as `app`.',
    operator: 'Compare it with `WEBDIST_BUNDLE_ID`, or with the apps in the `WEBDIST_CONFIG` file.',
  },
  method_not_allowed: {
    meaning: 'The path exists, but not with this method.',
    why: 'For example, `GET` was sent to a path that accepts only `POST`; or a redirect changed `POST` into `GET`.',
    caller: 'Use a method in the header `Allow`.',
    operator: 'If a proxy redirects (http to https, trailing slash), let callers use the final URL.',
  },
  request_timeout: {
    meaning: 'The request did not arrive completely within ten seconds.',
    why: 'The network is slow or failed, or the client declared a longer body than it sent.',
    caller: 'Send the request again. In a browser, load the page again.',
    operator: 'If it happens often, check the proxies in front of the service.',
  },
  too_large: {
    meaning: 'The body is larger than this path accepts.',
    why: 'The limits are 16 KiB, 512 KiB for `/install-tokens`, and 64 KiB for the paths of devices.',
    caller: 'Send less: at most 100 entries in a batch.',
    operator: NOTHING,
  },
  unsupported_media_type: {
    meaning: 'The body is not in the format that the path accepts, is not declared as such, or is compressed.',
    why: 'The header `Content-Type` is missing or is not `application/json` (for `/oauth/token`: `application/x-www-form-urlencoded`), or there is a `Content-Encoding`.',
    caller: 'Send the `Content-Type` that `detail` names, and no `Content-Encoding`.',
    operator: NOTHING,
  },
  expectation_failed: {
    meaning: 'The request has an `Expect` header that the service does not support.',
    why: 'Only `Expect: 100-continue` is supported.',
    caller: 'Leave `Expect` out.',
    operator: 'Check whether a proxy adds the header.',
  },
  rate_limited: {
    meaning: 'Too many tokens were requested for this device, address, app or API key.',
    why: 'Many people share the address; a script sends requests in a loop; or the proxy is not trusted, so that all visitors count as one address.',
    caller: RETRY,
    operator:
      'Behind a proxy, set `WEBDIST_TRUST_PROXY`. If many people share an address, raise `WEBDIST_RATE_LIMIT_ADDRESS`. `webdist_rate_limited_total` shows which limit refuses.',
  },
  headers_too_large: {
    meaning: 'The header fields are longer than 16 KiB.',
    why: 'Usually, the website sets too many or too large cookies on the service’s host.',
    caller: 'In a browser, delete the website’s cookies.',
    operator: 'Set fewer cookies, or give the service a host of its own, which does not get them.',
  },
} as const;

const failures = {
  internal_error: {
    meaning: 'The service failed unexpectedly.',
    why: 'This is a bug in webdist.',
    caller: 'Retry once. Then report `requestId` to the operator.',
    operator:
      'Find `request_failed` with this `reqId` in the log; it has the cause. Report it with the version of webdist.',
  },
  not_registered: {
    meaning: 'The service has no key that App Store Connect knows for this app, so it does not sign.',
    why: 'The first check has not finished; the key was removed at Apple; a rotation is in progress; or an operator stopped the app with `webdist keys stop`.',
    caller: RETRY,
    operator:
      'Run `webdist doctor`, which compares the keys held here with the registered key. `/health/ready` shows the state of each app.',
  },
  version_held: {
    meaning: 'The version of the app is on hold, and no other version is available.',
    why: 'An operator ran `webdist packages hold`.',
    caller: 'Retry later.',
    operator: '`webdist packages list` shows the holds. `webdist packages resume` ends one.',
  },
  signer_unavailable: {
    meaning: 'The private key cannot be used at the moment.',
    why: 'The backend that holds it (KMS, Vault, HSM) does not answer, throttles, or denies access.',
    caller: RETRY,
    operator: 'Run `webdist doctor`. Then check the state of the key in its backend, and this service’s permissions.',
  },
  clock_off: {
    meaning: 'The service’s clock is wrong by more than a minute, so devices might refuse every token.',
    why: 'The machine has no NTP, or was suspended. More rarely, a proxy changes the `Date` of Apple’s responses.',
    caller: RETRY,
    operator: 'Turn on NTP on that machine. Signing starts again at the next check.',
  },
  challenge_unavailable: {
    meaning: 'The bot challenge cannot be verified, because its server does not answer.',
    why: 'The server in `WEBDIST_CHALLENGE` is down, or a firewall blocks it.',
    caller: RETRY,
    operator: 'Check that this machine reaches the challenge’s server, or unset `WEBDIST_CHALLENGE` until it does.',
  },
  ledger_unavailable: {
    meaning: 'The database of installs does not answer, and the settings forbid tokens without it.',
    why: 'The database is down, full or unreachable, and `WEBDIST_LEDGER_DOWN` is `refuse`.',
    caller: RETRY,
    operator: 'Restore the database, or set `WEBDIST_LEDGER_DOWN=issue`. `ledger_down` in the log has the reason.',
  },
  sign_in_unavailable: {
    meaning: 'The customer’s JWT cannot be verified, because its keys cannot be fetched.',
    why: 'The JWKS of the website’s sign-in does not answer or is not a JWK set.',
    caller: RETRY,
    operator: 'Open `WEBDIST_AUTH_JWKS_URL` from this machine.',
  },
  overloaded: {
    meaning: 'This process gets more requests than it can answer in time, so it refuses some at once.',
    why: 'A traffic peak, an attack, or a machine that is too small.',
    caller: RETRY,
    operator: 'If it persists, add replicas. `webdist_overloaded_total` counts the refusals.',
  },
  shutting_down: {
    meaning: 'This replica is shutting down.',
    why: 'A deployment, or a restart.',
    caller: RETRY,
    operator: 'If callers see it often, raise `WEBDIST_DRAIN_SECONDS`, so that the load balancer notices in time.',
  },
} as const;

const registrations = {
  registration_missing: {
    meaning: 'The key or the domain is not registered at App Store Connect, and webdist may not register it.',
    why: '`WEBDIST_REGISTER` is `check` or `off`, or the API key may not create keys or domains.',
    caller: RETRY,
    operator: 'Set `WEBDIST_REGISTER=ensure`, or run `webdist keys add` and `webdist domains add`.',
  },
  different_key_registered: {
    meaning:
      'App Store Connect has another public key for this app than those held here, so the service does not sign.',
    why: 'The key was replaced at Apple, or the wrong key is configured.',
    caller: RETRY,
    operator:
      'Configure the registered key in `WEBDIST_KEY`, or replace the registered one with `webdist keys rotate`. `webdist keys list` shows both.',
  },
  rotation_unfinished: {
    meaning: 'A rotation of the distribution key was interrupted.',
    why: '`webdist keys rotate` ended before its last step.',
    caller: RETRY,
    operator: 'Run the same `webdist keys rotate` command again. It continues where it ended.',
  },
} as const;

const operations = {
  usage_invalid: {
    meaning: 'The command line contains a mistake.',
    why: 'An unknown command or option, or a missing value.',
    caller: 'Run the command with `--help`.',
    operator: 'Run the command with `--help`.',
  },
  config_invalid: {
    meaning: 'The settings contain a mistake, so nothing was started.',
    why: 'A setting is unknown, missing, malformed, or contradicts another one.',
    caller: REPORT,
    operator: 'Run `webdist config check`. It lists every problem, with the variable and what is expected.',
  },
  key_invalid: {
    meaning: 'The key was read, but cannot be used.',
    why: 'It is not a P-256 private key: for example, it is encrypted, a public key, a certificate, or an Apple API key (`.p8`) in the place of the distribution key.',
    caller: REPORT,
    operator: 'The message says what was found and how to convert it. `webdist keygen` makes a new key.',
  },
  key_absent: {
    meaning: 'There is no key at this place.',
    why: 'The file, the variable, the secret or the key of that name does not exist.',
    caller: REPORT,
    operator: 'Compare the locator in the setting with the backend, including path and version.',
  },
  key_denied: {
    meaning: 'The backend refused access to the key.',
    why: 'This process’s identity lacks a permission, or a file belongs to another user.',
    caller: REPORT,
    operator: 'Grant the permissions that the page of that backend in `docs/keys` lists.',
  },
  key_unreachable: {
    meaning: 'The backend that holds the key does not answer.',
    why: 'The address is wrong, the backend is down or sealed, or a firewall blocks it.',
    caller: REPORT,
    operator: 'Check the address in the message from this machine. `webdist doctor` tries it again.',
  },
  state_invalid: {
    meaning: 'A file or a database of webdist cannot be used.',
    why: 'It is damaged, from another version or program, not writable, or in use by another command.',
    caller: REPORT,
    operator: 'The message names the file and the next step. Restore it from a backup rather than deleting it.',
  },
  redis_unavailable: {
    meaning: 'Redis does not answer. Each process then counts rate limits by itself.',
    why: 'The address or the password in `WEBDIST_REDIS_URL` is wrong, or Redis is down.',
    caller: NOTHING,
    operator: 'Check Redis. Tokens are issued in the meantime.',
  },
  package_invalid: {
    meaning: 'An alternative distribution package is damaged or incomplete.',
    why: 'A file is missing or differs from the manifest, or the download was changed on the way.',
    caller: REPORT,
    operator: 'Run `webdist packages pull` again, then `webdist packages verify`.',
  },
} as const;

const apple = {
  asc_credentials: {
    meaning: 'App Store Connect rejected the API key.',
    why: 'The key was revoked, or key id, issuer id and `.p8` do not belong together. An individual key must have no issuer id.',
    caller: REPORT,
    operator: 'Compare `ASC_KEY_ID` and `ASC_ISSUER_ID` with *Users and Access, Integrations* in App Store Connect.',
  },
  asc_role: {
    meaning: 'The API key may not do this.',
    why: 'Its role lacks the permission. Apple does not document which role is enough.',
    caller: REPORT,
    operator: 'Create an API key with the role Admin, and configure it.',
  },
  asc_agreement: {
    meaning: 'Apple requires that an agreement be accepted first.',
    why: 'Apple published new terms, or the account is not approved for web distribution.',
    caller: REPORT,
    operator: 'The Account Holder accepts it in App Store Connect, *Business*.',
  },
  asc_clock: {
    meaning: 'App Store Connect refused the API token because of its times.',
    why: 'This machine’s clock is wrong.',
    caller: REPORT,
    operator: 'Turn on NTP on this machine.',
  },
  asc_conflict: {
    meaning: 'App Store Connect reported a conflict with something that exists.',
    why: 'The key or the domain is registered already, for another app or another account.',
    caller: REPORT,
    operator: 'Run `webdist keys list` and `webdist domains list`, then remove the one that is not needed.',
  },
  asc_not_found: {
    meaning: 'App Store Connect has no such app, key, domain or package.',
    why: 'The id is wrong, belongs to another account, or the API key is limited to other apps.',
    caller: REPORT,
    operator: 'Run `webdist apps list`, and compare `WEBDIST_APPLE_ITEM_ID`.',
  },
  asc_rate: {
    meaning: 'The hourly limit of the API key at App Store Connect is used up.',
    why: 'Other programs use the same API key.',
    caller: NOTHING,
    operator: 'Wait; webdist continues by itself. Give webdist an API key of its own.',
  },
  asc_outage: {
    meaning: 'App Store Connect cannot be reached, or fails.',
    why: 'Apple has an outage, or a firewall or proxy blocks the connection.',
    caller: NOTHING,
    operator:
      'Signing continues with the key id that is already known. If it persists, check `ASC_BASE_URL`, and `HTTPS_PROXY` if this network needs a proxy.',
  },
  asc_refused: {
    meaning: 'App Store Connect refused the request for another reason, which the message gives.',
    why: 'For example, a field has a value that Apple does not accept.',
    caller: REPORT,
    operator: 'Read the reason. `asc_response` in the log (level `debug`) shows the request.',
  },
} as const;

const button = {
  elsewhere: {
    meaning: 'The page is open on a device that is not an iPhone or iPad.',
    why: 'iOS apps are installed on the device that opens the link.',
    caller: 'Scan the QR code with the iPhone or iPad.',
    operator: 'To override what the button shows, set `support`.',
  },
  outdated: {
    meaning: 'The device’s system is too old to install apps from websites.',
    why: 'iOS 17.5 and iPadOS 18 are the first versions that can.',
    caller: 'Update the device.',
    operator: NOTHING,
  },
  'in-app': {
    meaning: 'The page is open inside another app, which does not handle install links.',
    why: 'Apps show links in their own browser.',
    caller: 'Open the page in Safari or another browser.',
    operator: NOTHING,
  },
  frame: {
    meaning: 'The page with the button is in a frame.',
    why: 'Only the origin of the main frame counts, and it must be on the registered domain.',
    caller: 'Open the page itself.',
    operator: 'Put the button on a page of its own instead of in an iframe.',
  },
  region: {
    meaning: 'The page says that this visitor cannot install here.',
    why: 'The page set `support="region"`. The button never guesses the region.',
    caller: 'Only people in the European Union can install apps from websites.',
    operator:
      'Set `support` only where the region is certain, for example from the storefront of a signed-in customer.',
  },
  offline: {
    meaning: 'The device has no network.',
    why: 'It is in airplane mode, or has no reception.',
    caller: 'Connect the device. The button continues by itself.',
    operator: NOTHING,
  },
  unreachable: {
    meaning: 'The service did not answer, or the browser blocked its answer.',
    why: 'The service is down; its address in the button is wrong; or CORS or `connect-src` of the page’s policy blocks it.',
    caller: 'Try again. If it persists, contact the website’s operator.',
    operator:
      'Open `/health/live` of the service. If it answers, read the browser’s console, and check `WEBDIST_ALLOWED_ORIGINS` and the page’s `connect-src`.',
  },
  http_error: {
    meaning: 'Something other than webdist answered the request for a token.',
    why: 'A proxy between the page and the service answered with its own error.',
    caller: 'Try again. If it persists, contact the website’s operator.',
    operator:
      'Read the answer in the browser’s network panel. Check the service’s address and the paths in the proxy’s configuration.',
  },
  no_package: {
    meaning: 'The service issued a token, but no link, because it does not know where the app’s package is.',
    why: '`WEBDIST_PACKAGE_URL` is not set, and `webdist packages` has no package of this app.',
    caller: REPORT,
    operator: 'Set `WEBDIST_PACKAGE_URL`, or `packageUrl` in the `WEBDIST_CONFIG` file.',
  },
} as const;

const buttonTitles: Record<ButtonCode, string> = {
  elsewhere: 'Not an iPhone or iPad',
  outdated: 'The system is too old',
  'in-app': 'Open in Safari',
  frame: 'The page is in a frame',
  region: 'Not available here',
  offline: 'The device is offline',
  unreachable: 'The service cannot be reached',
  http_error: 'An unexpected answer',
  no_package: 'No package',
};

/** A code with its title and its texts. */
export type ProblemGuide = Guide & { readonly title: string };

const titles: Record<ErrorCode | ButtonCode, string> = { ...errorTitles, ...buttonTitles };
const guides: Record<ErrorCode | ButtonCode, Guide> = {
  ...requests,
  ...failures,
  ...registrations,
  ...operations,
  ...apple,
  ...button,
};

/** Every code, in the order of the documentation. */
export const problemGuides: ReadonlyMap<string, ProblemGuide> = new Map(
  Object.entries(guides).map(([code, guide]) => [code, { title: titles[code as ErrorCode], ...guide }]),
);

/** The parts of the documentation, each with the codes that it explains. */
export const problemGroups: Readonly<Record<string, readonly string[]>> = {
  'Problems of a request': Object.keys(requests),
  'Problems of the service': Object.keys(failures),
  'Problems of the registration': Object.keys(registrations),
  'Problems of commands, settings and keys': Object.keys(operations),
  'Problems reported by App Store Connect': Object.keys(apple),
  'Codes of the install button': Object.keys(button),
};
