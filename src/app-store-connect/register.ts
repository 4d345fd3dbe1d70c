/**
 * Ensures that the distribution key and the domain are registered, and finds the key's id (docs/apple-facts.md §4.11).
 * Every step reads before it creates, and reads again if the outcome is unclear. So replicas can start at the same
 * time. Nothing is ever deleted.
 */

import type { KeyObject } from 'node:crypto';
import { domainToASCII } from 'node:url';
import { hasCode, isWebdistError, WebdistError } from '../errors.ts';
import { fingerprint, spki } from '../jws.ts';
import type { AppStoreConnect } from './client.ts';
import type { RegisteredDomain, RegisteredKey } from './resources.ts';

/** `ensure` creates what is missing; `check` changes nothing. */
type RegisterMode = 'ensure' | 'check';

export type WantedKey = {
  readonly appleItemId: string;
  readonly bundleId: string;
  /** Whether a missing key is registered for this app or for the whole account. */
  readonly scope: 'app' | 'account';
  readonly mode: RegisterMode;
  /** The public halves held here, in order of preference; the first one is registered if none is. */
  readonly candidates: readonly KeyObject[];
};

/** `spki` is the DER in base64; `candidate` is the index of the held key that is registered as `keyId`. */
export type EnsuredKey = {
  readonly keyId: string;
  readonly spki: string;
  readonly candidate: number;
  readonly created: boolean;
};

/**
 * Returns the id under which one of the candidates is registered for the app. If none is, registers the first one.
 * Throws `config_invalid` if AppleItemID and bundle id do not belong together, `registration_missing` if there is no
 * such app or (in mode `check`) the app has no key, `key_absent` without candidates, `different_key_registered`, and
 * what the client throws.
 */
export async function ensureKey(
  asc: Pick<AppStoreConnect, 'findApps' | 'appKey' | 'listKeys' | 'addKey'>,
  wanted: WantedKey,
): Promise<EnsuredKey> {
  const { appleItemId, bundleId, scope, mode } = wanted;
  const [preferred] = wanted.candidates;
  if (!preferred) throw new WebdistError('key_absent', `No distribution key is held for ${bundleId}.`);
  await checkApp(asc, wanted);

  const found = await findKey(asc, wanted);
  if (found) return { ...found, created: false };
  if (mode === 'check')
    throw missing(
      `No key held here is registered for ${bundleId}: ${fingerprint(spki(preferred))} is not at App Store Connect.`,
      '`webdist keys add`',
    );

  return createOrFind({
    create: async () => {
      const { id } = await asc.addKey({ publicKey: preferred, ...(scope === 'app' && { appleItemId }) });
      const created = { keyId: id, spki: spki(preferred), candidate: 0 };
      // Another replica may have registered another key at the same time. Use the key that the app has now.
      return (await findKey(asc, wanted)) ?? created;
    },
    find: () => findKey(asc, wanted),
    conflictHint:
      'Check `webdist keys list`. If this key serves several apps, set WEBDIST_KEY_SCOPE=account or give each app its own key.',
  });
}

export type WantedDomain = {
  /** The fully qualified domain of the website. */
  readonly domain: string;
  /** A display name for App Store Connect. */
  readonly referenceName: string;
  readonly mode: RegisterMode;
};

/** `domain` is the registered domain: the wanted one or a parent of it. */
export type EnsuredDomain = { readonly domainId: string; readonly domain: string; readonly created: boolean };

/**
 * Returns the registered domain that covers the wanted domain: the same domain, or else the closest parent. If neither
 * is registered, registers the wanted domain. Throws `config_invalid` for a text that is not a domain,
 * `registration_missing` (mode `check`), and what the client throws.
 */
export async function ensureDomain(
  asc: Pick<AppStoreConnect, 'listDomains' | 'addDomain'>,
  wanted: WantedDomain,
): Promise<EnsuredDomain> {
  const domain = normalized(wanted.domain);
  if (!domain) throw new WebdistError('config_invalid', `"${wanted.domain}" is not a domain (WEBDIST_DOMAIN).`);
  const find = async () => closestCovering(domain, await asc.listDomains());

  const found = await find();
  if (found) return { ...found, created: false };
  if (wanted.mode === 'check')
    throw missing(`Neither ${domain} nor a parent domain is registered.`, `\`webdist domains add ${domain}\``);
  return createOrFind({
    create: async () => {
      const created = await asc.addDomain({ domain, referenceName: wanted.referenceName });
      return { domainId: created.id, domain: created.domain };
    },
    find,
    conflictHint:
      'Check `webdist domains list`, and that WEBDIST_DOMAIN is a bare host name that belongs to this account.',
  });
}

async function checkApp(asc: Pick<AppStoreConnect, 'findApps'>, { appleItemId, bundleId }: WantedKey): Promise<void> {
  const apps = await asc.findApps(bundleId);
  if (apps.some((app) => app.appleItemId === appleItemId)) return;
  const [other] = apps;
  if (other)
    throw new WebdistError(
      'config_invalid',
      `At App Store Connect, ${bundleId} has the AppleItemID ${other.appleItemId}, not ${appleItemId}.`,
      { hint: 'Correct WEBDIST_APPLE_ITEM_ID or WEBDIST_BUNDLE_ID (or the app in WEBDIST_CONFIG).' },
    );
  throw new WebdistError(
    'registration_missing',
    `With this API key, App Store Connect finds no app with the bundle id ${bundleId} (AppleItemID ${appleItemId}).`,
    { hint: 'Check WEBDIST_BUNDLE_ID, and that ASC_KEY_ID belongs to the right account; a team key sees every app.' },
  );
}

type FoundKey = Omit<EnsuredKey, 'created'>;

/** Returns the app's own key. Keys of the account count only if it has none. */
async function findKey(
  asc: Pick<AppStoreConnect, 'appKey' | 'listKeys'>,
  { appleItemId, bundleId, candidates }: WantedKey,
): Promise<FoundKey | undefined> {
  const held = candidates.map(spki);
  const appKey = await asc.appKey(appleItemId);
  if (!appKey) return matching(held, await asc.listKeys({ app: false }));
  const match = matching(held, [appKey]);
  if (match) return match;
  const found = appKey.spki === undefined ? 'a key that cannot be read' : fingerprint(appKey.spki);
  throw new WebdistError(
    'different_key_registered',
    `The key registered for ${bundleId} (id ${appKey.id}) is ${found}; held here: ${held.map(fingerprint).join(', ')}.`,
    { hint: 'Add the private key that belongs to it, or replace it with `webdist keys rotate --to LOCATOR`.' },
  );
}

/** Returns the registered key of the first candidate, in order of preference, that is registered. */
function matching(held: readonly string[], registered: readonly RegisteredKey[]): FoundKey | undefined {
  for (const [candidate, one] of held.entries()) {
    const key = registered.find((each) => each.spki === one);
    if (key) return { keyId: key.id, spki: one, candidate };
  }
  return undefined;
}

function closestCovering(
  wanted: string,
  registered: readonly RegisteredDomain[],
): Omit<EnsuredDomain, 'created'> | undefined {
  const [closest] = registered
    .map(({ id, domain }) => ({ domainId: id, domain: normalized(domain) }))
    .filter(({ domain }) => domain && (wanted === domain || wanted.endsWith(`.${domain}`)))
    .sort((a, b) => b.domain.length - a.domain.length);
  return closest;
}

/**
 * Returns the domain in lower case, as A-labels, without a trailing dot (docs/apple-facts.md §4.5); empty if it is not
 * a domain.
 */
const normalized = (domain: string) => domainToASCII(domain.replace(/\.$/, ''));

/** After a conflict or an unknown outcome, reads the current state once. Throws if that is not the wanted state. */
async function createOrFind<Found extends object>(step: {
  readonly create: () => Promise<Found>;
  readonly find: () => Promise<Found | undefined>;
  readonly conflictHint: string;
}): Promise<Found & { readonly created: boolean }> {
  try {
    return { ...(await step.create()), created: true };
  } catch (error) {
    if (!isWebdistError(error) || !hasCode(error, 'asc_conflict', 'asc_outage')) throw error;
    const found = await step.find();
    if (found) return { ...found, created: false };
    if (error.code === 'asc_outage') throw error;
    throw new WebdistError('asc_conflict', error.detail, { hint: step.conflictHint, cause: error });
  }
}

function missing(detail: string, command: string): WebdistError {
  return new WebdistError('registration_missing', detail, {
    hint: `Register it with ${command}. WEBDIST_REGISTER=ensure registers only keys and domains that were never registered before.`,
  });
}
