/** What is registered at App Store Connect against what is held and configured here. */

import { fingerprint } from '../app-store-connect/register.ts';
import type { RegisteredKey } from '../app-store-connect/resources.ts';
import type { Config } from '../config/config.ts';
import { spki } from '../jws.ts';
import { type Check, type Finding, fail, ok, warn, worstOf } from './check.ts';
import type { Apple, HeldForApp } from './facts.ts';

/** Everything is there: settings, keys, and App Store Connect's whole answer. */
type Whole = { readonly config: Config; readonly apple: Apple; readonly held: readonly HeldForApp[] };

const check = (id: string, why: string, judge: (whole: Whole) => Finding | undefined): Check => ({
  id,
  section: 'private',
  why,
  async look(evidence) {
    const [apple, held] = [await evidence.apple(), await evidence.held()];
    const { config } = evidence;
    return config && apple && !apple.problem ? judge({ config, apple, held }) : undefined;
  },
});

/** Apps that App Store Connect knows by the configured ids; of the others `app-found` tells. */
const knownApps = ({ apple, held }: Whole) => held.filter(({ app }) => apple.appKeys.has(app.appleItemId));

const halvesOf = ({ keys }: HeldForApp) => keys.flatMap(({ signer }) => (signer ? [spki(signer.publicKey)] : []));

const isHeld = (one: HeldForApp, key: RegisteredKey | null | undefined) =>
  key?.spki !== undefined && halvesOf(one).includes(key.spki);

const covers = (registered: string, host: string) => host === registered || host.endsWith(`.${registered}`);

export const registrationChecks: readonly Check[] = [
  check(
    'app-found',
    'AppleItemID and bundle id go into every token and have to belong together.',
    ({ config, apple }) =>
      worstOf(
        config.apps.map(({ bundleId, appleItemId }) => {
          const found = apple.apps.get(bundleId) ?? [];
          const [first] = found;
          if (found.some((app) => app.appleItemId === appleItemId)) return ok(`${bundleId} is ${appleItemId}`);
          return first
            ? fail(
                `${bundleId} has the AppleItemID ${first.appleItemId}, not ${appleItemId}`,
                `Set WEBDIST_APPLE_ITEM_ID=${first.appleItemId} (or appleItemId in WEBDIST_CONFIG).`,
              )
            : fail(
                `App Store Connect shows no app ${bundleId}`,
                'Check WEBDIST_BUNDLE_ID, capitals included, and that the API key is of the right account.',
              );
        }),
      ),
  ),
  check('key-registered', 'A device looks the public half up by its id: it has to be registered.', (whole) =>
    worstOf(
      knownApps(whole).map((one) => {
        const { bundleId, appleItemId } = one.app;
        const own = whole.apple.appKeys.get(appleItemId);
        const shared = whole.apple.accountKeys.find((key) => isHeld(one, key));
        if (halvesOf(one).length === 0) return undefined;
        if (own || shared) return ok(`${bundleId}: ${own?.id ?? shared?.id}`);
        return fail(`no key is registered for ${bundleId}`, `webdist keys add --app ${bundleId}`);
      }),
    ),
  ),
  check('key-matches', 'A token signed with another private half than the registered one is refused.', (whole) =>
    worstOf(
      knownApps(whole).map((one) => {
        const own = whole.apple.appKeys.get(one.app.appleItemId);
        if (!own || halvesOf(one).length === 0) return undefined;
        return isHeld(one, own)
          ? ok(`${one.app.bundleId}: the registered public half is the one held`)
          : fail(
              `${one.app.bundleId}: registered is ${own.spki ? fingerprint(own.spki) : 'one that cannot be read'} (${own.id}), held is ${halvesOf(one).map(fingerprint).join(', ')}`,
              'Bring the private key that belongs to it, or run `webdist keys rotate --to LOCATOR`.',
            );
      }),
    ),
  ),
  check('key-scope', 'WEBDIST_KEY_SCOPE says for whom a key is made that is missing.', (whole) =>
    worstOf(
      knownApps(whole).map((one) => {
        const own = whole.apple.appKeys.get(one.app.appleItemId);
        const shared = whole.apple.accountKeys.find((key) => isHeld(one, key));
        if (!own && shared && whole.config.keyScope === 'app')
          return warn(
            `${one.app.bundleId} signs with ${shared.id}, a key for all apps, but WEBDIST_KEY_SCOPE is app`,
            'Set WEBDIST_KEY_SCOPE=account.',
          );
        return own && isHeld(one, own) ? ok(`${one.app.bundleId}: a key for this app`) : undefined;
      }),
    ),
  ),
  check(
    'keys-forgotten',
    'A key nobody needs any more can still make tokens, wherever its private half is.',
    (whole) => {
      const used = [...whole.apple.appKeys.values()].flatMap((key) => key?.id ?? []);
      const others = whole.apple.accountKeys.filter(
        (key) => !used.includes(key.id) && !whole.held.some((one) => isHeld(one, key)),
      );
      return others.length === 0
        ? ok('no key for all apps but those held here')
        : warn(
            `${others.map(({ id }) => id).join(', ')}: for all apps, and held nowhere here`,
            `If no other server holds it: webdist keys remove ${others[0]?.id}`,
          );
    },
  ),
  check('domain-registered', 'iOS installs only from a registered domain or below it.', ({ config, apple }) => {
    const covering = apple.domains.find(({ domain }) => covers(domain.toLowerCase(), config.domain));
    return covering
      ? ok(`${config.domain} is covered by ${covering.domain}`)
      : fail(`${config.domain} is not registered, nor a domain above it`, `webdist domains add ${config.domain}`);
  }),
  check('domains-forgotten', 'Whoever owns a forgotten domain may distribute under your account.', (whole) => {
    const { domain } = whole.config;
    // Where the website's own is missing, another one is more likely a misspelling of it.
    if (!whole.apple.domains.some((one) => covers(one.domain, domain))) return undefined;
    const others = whole.apple.domains.filter((one) => !covers(one.domain, domain) && !covers(domain, one.domain));
    return others.length === 0
      ? ok('no domain but those configured')
      : warn(
          others.map((one) => `${one.domain} (${one.id})`).join(', '),
          `If it is not yours any more: webdist domains remove ${others[0]?.id}`,
        );
  }),
];
