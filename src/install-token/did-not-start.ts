/**
 * Why an install did not start or did not finish, and how to fix it: one entry for each code of the install button, each
 * reason why a browser ignores a link, and each case of MarketplaceKitError (docs/apple-facts.md §1.7, §2). The page
 * docs/install-did-not-start.md shows these entries.
 */

/** `browser`: the browser ignores the tap without a message. */
type Reporter = 'button' | 'browser' | 'device';

/** `id` is the anchor on the page: the button's code, or the case of MarketplaceKitError. */
export type DidNotStart = {
  readonly id: string;
  readonly reportedBy: Reporter;
  readonly cause: string;
  readonly hint: string;
};

/** The page and the anchor of an entry, relative to the repository. */
export const helpFor = (id: string): string => `docs/install-did-not-start.md#${id.toLowerCase()}`;

const entry =
  (reportedBy: Reporter) =>
  ([id, cause, hint]: readonly [string, string, string]): DidNotStart => ({ id, reportedBy, cause, hint });

const button = (
  [
    [
      'elsewhere',
      'The page is open on a device that is not an iPhone or iPad.',
      'The button shows a QR code of the page: scan it with the device. To override what the button shows, set `support`.',
    ],
    [
      'outdated',
      'The device runs a version before iOS 17.5 or iPadOS 18, the first versions that install from websites.',
      'Update the device.',
    ],
    [
      'in-app',
      'The page is open inside another app, which does not handle install links.',
      'Open the page in Safari or another browser.',
    ],
    [
      'frame',
      'The page is in a frame. Only the origin of the main frame counts, and it must be on the registered domain.',
      'Put the button on its own page instead of in an iframe.',
    ],
    [
      'region',
      'The page says that this visitor cannot install here (`support="region"`); the button never guesses it.',
      'Set `support` only where the region is certain, for example from the storefront of a signed-in customer.',
    ],
    ['offline', 'The device has no network.', 'The button continues automatically when the network is back.'],
    [
      'unreachable',
      'The service did not answer, or the browser blocked its answer (CORS, CSP `connect-src`).',
      'Open `/health/live` of the service. If it answers, read the browser console, and check `WEBDIST_ALLOWED_ORIGINS` and the page’s `connect-src`.',
    ],
    [
      'http_error',
      'A proxy between the page and the service answered with its own error.',
      'Read the answer in the browser’s network panel. Check the service’s address and the paths in the proxy’s configuration.',
    ],
    [
      'no_package',
      'The service has no package URL for this app, so it cannot make a link.',
      'Set `WEBDIST_PACKAGE_URL`, or `packageUrl` in the `WEBDIST_CONFIG` file.',
    ],
    [
      'invalid_request',
      'An attribute of the button is invalid; `detail` in the answer names the field.',
      'Correct that attribute.',
    ],
    [
      'unknown_app',
      '`app` does not name an app of this service.',
      'Use the bundle id or the AppleItemID from the settings.',
    ],
    [
      'unauthorized',
      'The service requires a credential (`WEBDIST_ANONYMOUS=none`, or the website’s sign-in).',
      'Set the button’s `accessToken` to the customer’s JWT, or set `WEBDIST_ANONYMOUS=pages`.',
    ],
    [
      'origin_not_allowed',
      'The page’s origin is neither the registered domain nor an allowed origin.',
      'Add the whole origin to `WEBDIST_ALLOWED_ORIGINS`, with `https://` and without a trailing slash.',
    ],
    [
      'forbidden',
      'The page sets a claim that only a server with an API key may set.',
      'Leave it out, or request the token from the website’s server.',
    ],
    [
      'rate_limited',
      'This device or this address sent too many requests.',
      'The button waits as long as the service requires. If many people share an address, raise `WEBDIST_RATE_LIMIT_ADDRESS`. Behind a proxy, set `WEBDIST_TRUST_PROXY`.',
    ],
    [
      'request_timeout',
      'The request did not reach the service completely within ten seconds.',
      'Load the page again. If the network is not the cause, check the proxies in front of the service.',
    ],
    [
      'headers_too_large',
      'The browser sends more than 16 KiB of header fields, most of them usually cookies of the website.',
      'Set fewer cookies, or give the service a host of its own, which does not get them.',
    ],
    [
      'not_registered',
      'App Store Connect does not have the public half of any key that this service holds.',
      'Run `webdist doctor`; it compares the keys.',
    ],
    [
      'version_held',
      'An operator has put this version of the app on hold, and there is no other.',
      'Run `webdist packages list`. `webdist packages resume` ends a hold.',
    ],
    [
      'signer_unavailable',
      'The holder of the private key (KMS, Vault, HSM) cannot sign at the moment.',
      'Run `webdist doctor`, then check the state and the permissions of that key.',
    ],
    [
      'clock_off',
      'The clock of the service’s machine and Apple’s differ by over a minute, so devices might refuse every token.',
      'Turn on NTP there. If the machine’s clock is right, a proxy changes the `Date` of Apple’s responses.',
    ],
    [
      'ledger_unavailable',
      'The ledger’s database does not answer, and `WEBDIST_LEDGER_DOWN` is `refuse`.',
      'Restore the database, or set `WEBDIST_LEDGER_DOWN=issue`.',
    ],
    [
      'challenge_failed',
      'The service requires a bot challenge (`WEBDIST_CHALLENGE`), and the page sent no valid response.',
      'Send the response of the widget as `challenge`, a new one for each token.',
    ],
    [
      'challenge_unavailable',
      'The server of the bot challenge does not answer.',
      'Check that the service’s machine reaches it, or unset `WEBDIST_CHALLENGE` until it does.',
    ],
    [
      'sign_in_unavailable',
      'The JWKS of the website’s sign-in cannot be fetched.',
      'Open `WEBDIST_AUTH_JWKS_URL` from the service’s machine.',
    ],
    [
      'overloaded',
      'The service receives more requests than it can answer in time.',
      'The button retries. If the problem persists, add replicas.',
    ],
    ['shutting_down', 'This replica is shutting down.', 'The button retries and reaches another replica.'],
    [
      'internal_error',
      'The service failed unexpectedly.',
      'Find `request_failed` with the id of the request in the service’s log.',
    ],
  ] as const
).map(entry('button'));

const browser = (
  [
    [
      'no-gesture',
      'A script started the navigation, or a tap handler fetched the token first and then navigated.',
      'Put the complete link into `href` before the tap, as the button does.',
    ],
    [
      'redirect',
      'The tap went to a URL that redirects to `marketplace-kit:`. Browsers do not follow such redirects.',
      'Link to `marketplace-kit:` itself.',
    ],
    [
      'used-or-ended',
      'The link was used before, or its token expired while the page was suspended or cached.',
      'Use the button, which renews the token. If the server renders the link, send the page with `Cache-Control: no-store`.',
    ],
    [
      'other-host',
      'The page and the package are on different hosts, or not on the domain registered with App Store Connect.',
      'Serve both from the same host: that domain or a subdomain of it. `webdist doctor` compares them.',
    ],
    [
      'plain-http',
      'The page or the package is not served with https.',
      'Serve both with https and a certificate that the device trusts.',
    ],
    [
      'not-in-the-eu',
      'Only people in the European Union can install apps from websites.',
      'None: the device decides. Do not block by IP address, because people travel.',
    ],
  ] as const
).map(entry('browser'));

const ASK_ADMINISTRATOR = 'Ask the person who manages the device.';

const device = (
  [
    [
      'missingInstallVerificationToken',
      'The link, or an entry in the restore answer, has no token.',
      'Use `installUrl` from the answer unchanged.',
    ],
    [
      'mismatchedInstallType',
      'The declared operation does not match what would happen, for example an update of an app that is not installed.',
      'Answer restore and update requests only with the apps that the device requested.',
    ],
    [
      'invalidAlternativeDistributionPackageURL',
      'The package URL is not an absolute https URL on the page’s host.',
      'Set `WEBDIST_PACKAGE_URL` to the folder of the package on that host.',
    ],
    [
      'invalidAlternativeDistributionPackageSignature',
      'The package’s `signature` is missing or does not match.',
      'Upload the whole package again, unchanged.',
    ],
    [
      'invalidManifest',
      'The package’s `manifest.json` cannot be read.',
      'Serve it exactly as Apple delivered it, without a redirect.',
    ],
    [
      'invalidLicense',
      'The licence server did not answer with a valid licence within 60 seconds.',
      'Check the `license` URLs in `/.well-known/marketplace-kit`.',
    ],
    [
      'oauthTokenError',
      'The link has a `token`, and exchanging it failed.',
      'Check `/.well-known/oauth-authorization-server` and the token endpoint.',
    ],
    [
      'invalidURL',
      'A URL in the link or in an answer is malformed.',
      'Use `installUrl` unchanged; its values are percent-encoded.',
    ],
    [
      'networkError',
      'The device could not fetch a document or a file.',
      'Check that the package and `/.well-known/marketplace-kit` are served over https, without a redirect.',
    ],
    ['noSupportedVariant', 'The package has no variant for this device.', 'Build the app for this kind of device.'],
    ['unsupportedPlatform', 'The app does not run on this platform.', 'Show the button only where the app runs.'],
    ['minimumPlatformVersionNotSatisfied', 'The app needs a later version of the system.', 'Update the device.'],
    ['missingCapabilities', 'The device lacks a capability that the app requires.', 'None on this device.'],
    ['insufficientStorageSpace', 'The device does not have enough storage.', 'Free some storage on the device.'],
    ['ratingRestricted', 'Screen Time does not allow apps with this age rating.', ASK_ADMINISTRATOR],
    ['installationRestricted', 'A restriction on the device forbids installing apps.', ASK_ADMINISTRATOR],
    [
      'installationOfMarketplaceDenied',
      'A restriction on the device forbids installing marketplaces.',
      ASK_ADMINISTRATOR,
    ],
    ['appNotInstalled', 'The operation requires an app that is not installed.', 'Install the app first.'],
    ['cancelled', 'The user declined, or the app is not eligible.', 'Tap again, and confirm.'],
    [
      'featureUnavailable',
      'Installing from websites is not available with this region, system or account.',
      'Check that the device is in the EU and runs iOS 17.5, iPadOS 18 or later.',
    ],
    [
      'unknown',
      'Apple documents no reason. A refused token also ends here, because Apple has no case for it.',
      'Run `webdist token verify`, which checks a token as a device does.',
    ],
    [
      'ageRatingExceptionNotNeeded',
      'The request asked for an exception from the age rating, which is not needed.',
      'Leave the exception out.',
    ],
    [
      'missingAgeRatingExceptionRequest',
      'The age rating requires an exception that was not requested.',
      ASK_ADMINISTRATOR,
    ],
  ] as const
).map(entry('device'));

/** All entries, in the order of the page. */
export const didNotStart: readonly DidNotStart[] = [...button, ...browser, ...device];
