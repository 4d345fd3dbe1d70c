/** Compares the registrations at App Store Connect with the keys and settings here. */

import type { RegisteredKey } from '../app-store-connect/resources.ts';
import type { Config } from '../config/config.ts';
import { isWithinDomain } from '../host.ts';
import { fingerprint, spki } from '../jws.ts';
import type { AppleAccount } from './apple-account.ts';
import { type Check, type Finding, fail, ok, privateCheck, warn, worstOf } from './check.ts';
import type { AppWithKeys } from './facts.ts';

/** Both sides of the comparison, if both are complete. */
type Sides = { readonly config: Config; readonly account: AppleAccount; readonly apps: readonly AppWithKeys[] };

const check = (id: string, why: string, judge: (sides: Sides) => Finding | undefined): Check =>
  privateCheck(id, why, async ({ config, appleAccount, appKeys }) => {
    const account = await appleAccount();
    const apps = await appKeys();
    return config && account && !account.problem ? judge({ config, account, apps }) : undefined;
  });

/** The apps that App Store Connect has under the configured ids; `app-found` reports the others. */
const knownApps = ({ account, apps }: Sides) => apps.filter(({ app }) => account.appKeys.has(app.appleItemId));

const publicHalves = ({ keys }: AppWithKeys) => keys.flatMap(({ signer }) => (signer ? [spki(signer.publicKey)] : []));

const holds = (app: AppWithKeys, key: RegisteredKey | null | undefined) =>
  key?.spki !== undefined && publicHalves(app).includes(key.spki);

export const registrationChecks: readonly Check[] = [
  check('app-found', 'AppleItemID and bundle id are in every token, and must belong together.', ({ config, account }) =>
    worstOf(
      config.apps.map(({ bundleId, appleItemId }) => {
        const found = account.apps.get(bundleId) ?? [];
        const [first] = found;
        if (found.some((app) => app.appleItemId === appleItemId)) return ok(`${bundleId} is ${appleItemId}`);
        return first
          ? fail(
              `${bundleId} has the AppleItemID ${first.appleItemId}, not ${appleItemId}`,
              `Set WEBDIST_APPLE_ITEM_ID=${first.appleItemId} (in WEBDIST_CONFIG: appleItemId).`,
            )
          : fail(
              `App Store Connect has no app ${bundleId} for this API key`,
              'Check WEBDIST_BUNDLE_ID (case matters), and that the API key belongs to the right account.',
            );
      }),
    ),
  ),
  check('app-version', 'iOS installs only a version that Apple approved and that is not removed from sale.', (sides) =>
    worstOf(
      knownApps(sides).map(({ app: { bundleId, appleItemId } }) => {
        const versions = sides.account.versions.get(appleItemId) ?? [];
        const approved = versions.filter(({ isApproved }) => isApproved).length;
        if (versions.length === 0) return undefined;
        const states = [...new Set(versions.map(({ versionString, state }) => `${versionString} ${state}`))].join(', ');
        return approved > 0
          ? ok(`${bundleId}: ${approved} approved`)
          : warn(
              `${bundleId} has no approved version: ${states}`,
              'In App Store Connect, check the version and the availability of the app.',
            );
      }),
    ),
  ),
  check('key-registered', 'A device looks up the public half by its id, so it must be registered.', (sides) =>
    worstOf(
      knownApps(sides).map((one) => {
        const { bundleId, appleItemId } = one.app;
        const own = sides.account.appKeys.get(appleItemId);
        const shared = sides.account.accountKeys.find((key) => holds(one, key));
        if (publicHalves(one).length === 0) return undefined;
        if (own || shared) return ok(`${bundleId}: ${own?.id ?? shared?.id}`);
        return fail(`no key is registered for ${bundleId}`, `webdist keys add --app ${bundleId}`);
      }),
    ),
  ),
  check('key-matches', 'Devices refuse tokens that are not signed with the registered key.', (sides) =>
    worstOf(
      knownApps(sides).map((one) => {
        const own = sides.account.appKeys.get(one.app.appleItemId);
        if (!own || publicHalves(one).length === 0) return undefined;
        if (holds(one, own)) return ok(`${one.app.bundleId}: the registered public half is held here`);
        const registered = own.spki ? fingerprint(own.spki) : 'an unreadable key';
        return fail(
          `${one.app.bundleId}: ${registered} (${own.id}) is registered, ${publicHalves(one).map(fingerprint).join(', ')} is held here`,
          'Configure the private key that belongs to the registered one, or run `webdist keys rotate --to LOCATOR`.',
        );
      }),
    ),
  ),
  check(
    'key-scope',
    'WEBDIST_KEY_SCOPE determines whether a missing key is created for an app or for the account.',
    (sides) =>
      worstOf(
        knownApps(sides).map((one) => {
          const own = sides.account.appKeys.get(one.app.appleItemId);
          const shared = sides.account.accountKeys.find((key) => holds(one, key));
          if (!own && shared && sides.config.keyScope === 'app')
            return warn(
              `${one.app.bundleId} signs with ${shared.id}, a key for all apps, but WEBDIST_KEY_SCOPE is app`,
              'Set WEBDIST_KEY_SCOPE=account.',
            );
          return own && holds(one, own) ? ok(`${one.app.bundleId}: a key for this app`) : undefined;
        }),
      ),
  ),
  check(
    'keys-forgotten',
    'Anyone who has the private half of an unused key can still sign tokens.',
    ({ account, apps }) => {
      const used = [...account.appKeys.values()].flatMap((key) => key?.id ?? []);
      const others = account.accountKeys.filter(
        (key) => !used.includes(key.id) && !apps.some((one) => holds(one, key)),
      );
      return others.length === 0
        ? ok('every key for all apps is held here')
        : warn(
            `keys for all apps that are not held here: ${others.map(({ id }) => id).join(', ')}`,
            `If no other server uses it: webdist keys remove ${others[0]?.id}`,
          );
    },
  ),
  check('domain-registered', 'iOS installs only from a registered domain or its subdomains.', ({ config, account }) => {
    // With none of the apps, this is the account of another team, which the check `app-found` reports.
    if (![...account.apps.values()].some((found) => found.length > 0)) return undefined;
    const covering = account.domains.find(({ domain }) => isWithinDomain(config.domain, domain.toLowerCase()));
    return covering
      ? ok(`${config.domain} is covered by ${covering.domain}`)
      : fail(`neither ${config.domain} nor a domain above it is registered`, `webdist domains add ${config.domain}`);
  }),
  check(
    'domains-forgotten',
    'The owner of a forgotten domain could distribute apps under your account.',
    ({ config: { domain }, account }) => {
      // If the website's own domain is not registered, one of the others is probably a misspelling of it.
      if (!account.domains.some((one) => isWithinDomain(domain, one.domain))) return undefined;
      const others = account.domains.filter(
        (one) => !isWithinDomain(domain, one.domain) && !isWithinDomain(one.domain, domain),
      );
      return others.length === 0
        ? ok('only configured domains are registered')
        : warn(
            others.map((one) => `${one.domain} (${one.id})`).join(', '),
            `If it is no longer yours: webdist domains remove ${others[0]?.id}`,
          );
    },
  ),
];
