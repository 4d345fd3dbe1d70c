/**
 * Why an install did not start, or did not finish, and what fixes it: one entry for each code of the install button,
 * each way a browser drops a link, and each case of MarketplaceKitError (docs/apple-facts.md §1.7, §2). The page
 * docs/install-did-not-start.md is written from it. Pure data; must not know who shows it.
 */

/** Who tells: the button by its `code`, nobody (the browser drops the tap in silence), or the device. */
type Teller = 'button' | 'browser' | 'device';

/** `id` is the anchor on the page. For the button it is the code, for the device the case of MarketplaceKitError. */
export type DidNotStart = {
  readonly id: string;
  readonly told: Teller;
  readonly cause: string;
  readonly hint: string;
};

/** The page and the anchor for one entry, relative to the repository. */
export const helpFor = (id: string): string => `docs/install-did-not-start.md#${id.toLowerCase()}`;

const entry =
  (told: Teller) =>
  ([id, cause, hint]: readonly [string, string, string]): DidNotStart => ({ id, told, cause, hint });

const button = (
  [
    [
      'elsewhere',
      'This is no iPhone or iPad.',
      'The button shows a QR code of the page: open it on the device. To decide by yourself, set `support`.',
    ],
    [
      'outdated',
      'The device is older than iOS 17.5 or iPadOS 18, the first that install from websites.',
      'Update the device.',
    ],
    [
      'in-app',
      'The page is shown inside another app, which does not pass install links on.',
      'Open the page in Safari or another browser.',
    ],
    [
      'frame',
      'The page is in a frame. Only the origin of the main frame counts, and it must be the registered domain.',
      'Put the button on a page of its own instead of an iframe.',
    ],
    ['offline', 'The device has no network.', 'The button goes on by itself when the network is back.'],
    [
      'unreachable',
      'The service did not answer, or the browser kept its answer from the page (CORS, CSP `connect-src`).',
      'Open `/health/live` of the service. If it answers, look into the browser console, and check `WEBDIST_ALLOWED_ORIGINS` and the page’s `connect-src`.',
    ],
    [
      'http_error',
      'Something between the page and the service answered with an error of its own.',
      'Look at the answer in the browser’s network panel; check the proxy’s address of the service and its paths.',
    ],
    [
      'no_package',
      'The service has no address of a package for this app, so there is no link to make.',
      'Set `WEBDIST_PACKAGE_URL`, or `packageUrl` in the file of `WEBDIST_CONFIG`.',
    ],
    [
      'invalid_request',
      'An attribute of the button is not acceptable; `detail` of the answer names the field.',
      'Correct that attribute.',
    ],
    ['unknown_app', '`app` names no app of this service.', 'Use the bundle id or AppleItemID from the settings.'],
    [
      'unauthorized',
      'The service asks for a credential (`WEBDIST_ANONYMOUS=none`, or the website’s sign-in).',
      'Give the button the customer’s `accessToken`, or allow pages.',
    ],
    [
      'origin_not_allowed',
      'The page’s origin is neither the registered domain nor an allowed one.',
      'Add it to `WEBDIST_ALLOWED_ORIGINS`, in full, with `https://` and without a slash at the end.',
    ],
    [
      'forbidden',
      'The page sets a claim that only a server with an API key may set.',
      'Leave it out, or ask from the website’s server.',
    ],
    [
      'rate_limited',
      'Too many requests from this device or this address.',
      'The button waits as long as the service says. If many people share an address, raise `WEBDIST_RATE_LIMIT_ADDRESS`; behind a proxy set `WEBDIST_TRUST_PROXY`.',
    ],
    [
      'not_registered',
      'App Store Connect does not have the public half of any key this service holds.',
      'Run `webdist doctor`; it compares the keys.',
    ],
    [
      'signer_unavailable',
      'The holder of the private key (KMS, Vault, HSM) does not sign right now.',
      'Run `webdist doctor`, then check the state and the permissions of that key.',
    ],
    [
      'ledger_unavailable',
      'The database of installs does not answer, and `WEBDIST_LEDGER_DOWN=refuse`.',
      'Bring it back, or set `issue`.',
    ],
    [
      'sign_in_unavailable',
      'The JWKS of the website’s sign-in cannot be fetched.',
      'Check `WEBDIST_AUTH_JWKS_URL` from the service’s machine.',
    ],
    [
      'overloaded',
      'The service has more requests than it can answer in time.',
      'The button tries again. Add replicas if it stays.',
    ],
    ['shutting_down', 'This replica is going away.', 'The button tries again and meets another one.'],
    [
      'internal_error',
      'The service failed in a way it does not know.',
      'Look for `request_failed` with the id of the request in the service’s log.',
    ],
  ] as const
).map(entry('button'));

const browser = (
  [
    [
      'no-gesture',
      'A script started the navigation, or a tap handler fetched the token first and navigated after.',
      'Have the whole link in `href` before the tap, as the button does.',
    ],
    [
      'redirect',
      'The tap went to an address that redirects to `marketplace-kit:`; browsers drop that.',
      'Link to `marketplace-kit:` itself.',
    ],
    [
      'used-or-ended',
      'The link was used before, or its token ended while the page was asleep or cached.',
      'Use the button, which renews it. When the server renders the link, send the page with `Cache-Control: no-store`.',
    ],
    [
      'other-host',
      'The page is on another host than the package, or not below the domain registered with App Store Connect.',
      'Serve page and package from the same host, at or below that domain. `webdist doctor` compares them.',
    ],
    [
      'plain-http',
      'The page or the package is not served with https.',
      'Serve both with https and a certificate that the device trusts.',
    ],
    [
      'not-in-the-eu',
      'Websites can install apps only for people in the European Union.',
      'Nothing: the device decides. Do not refuse by IP address, as people travel.',
    ],
  ] as const
).map(entry('browser'));

const device = (
  [
    [
      'missingInstallVerificationToken',
      'The link, or an entry of the restore answer, has no token.',
      'Link to `installUrl` of the answer as it is, without taking it apart.',
    ],
    [
      'mismatchedInstallType',
      'Another operation was declared than would happen: an update of what is not installed, say.',
      'Answer restore and update requests with what the device asked for.',
    ],
    [
      'invalidAlternativeDistributionPackageURL',
      'The package’s address is not an absolute https one on the page’s host.',
      'Set `WEBDIST_PACKAGE_URL` to the folder of the package on that host.',
    ],
    [
      'invalidAlternativeDistributionPackageSignature',
      'The package’s `signature` is missing or does not fit.',
      'Upload the package again, whole and unchanged.',
    ],
    [
      'invalidManifest',
      'The package’s `manifest.json` cannot be read.',
      'Check that it is served as it came from Apple, without a redirect.',
    ],
    [
      'invalidLicense',
      'The licence server did not answer within 60 seconds, or not with a valid licence.',
      'Check the `license` addresses in `/.well-known/marketplace-kit`.',
    ],
    [
      'oauthTokenError',
      'The link has a `token`, and exchanging it failed.',
      'Check `/.well-known/oauth-authorization-server` and the token endpoint.',
    ],
    [
      'invalidURL',
      'One of the addresses in the link or in an answer is malformed.',
      'Link to `installUrl` as it is; values in it are percent-encoded.',
    ],
    [
      'networkError',
      'The device could not fetch something.',
      'Check that the package and `/.well-known/marketplace-kit` answer over https without a redirect.',
    ],
    [
      'noSupportedVariant',
      'The package holds no variant for this device.',
      'Build the package for this kind of device.',
    ],
    ['unsupportedPlatform', 'The app is not for this platform.', 'Offer the button only where the app runs.'],
    ['minimumPlatformVersionNotSatisfied', 'The app needs a later system.', 'Update the device.'],
    ['missingCapabilities', 'The device lacks something the app requires.', 'Nothing on this device.'],
    ['insufficientStorageSpace', 'There is not enough room.', 'Make room on the device.'],
    ['ratingRestricted', 'Screen Time does not allow apps of this age rating.', 'Ask whoever manages the device.'],
    ['installationRestricted', 'A restriction on the device forbids installs.', 'Ask whoever manages the device.'],
    [
      'installationOfMarketplaceDenied',
      'A restriction forbids installing marketplaces.',
      'Ask whoever manages the device.',
    ],
    ['appNotInstalled', 'The operation needs the app, which is not there.', 'Install it first.'],
    ['cancelled', 'The person declined, or the app is not eligible.', 'Tap again, and confirm.'],
    [
      'featureUnavailable',
      'Installing from websites is not available here: region, system or account.',
      'Check that the device is in the EU and on iOS 17.5, iPadOS 18 or later.',
    ],
    [
      'unknown',
      'A token that is refused also ends here: Apple has no case for a bad one.',
      'Give the token to `webdist token verify`, which checks what a device checks.',
    ],
    [
      'ageRatingExceptionNotNeeded',
      'An exception for the age rating was asked for and is not needed.',
      'Ask without it.',
    ],
    [
      'missingAgeRatingExceptionRequest',
      'The age rating needs an exception that was not asked for.',
      'Ask whoever manages the device.',
    ],
  ] as const
).map(entry('device'));

/** All entries, in the order of the page. */
export const didNotStart: readonly DidNotStart[] = [...button, ...browser, ...device];
