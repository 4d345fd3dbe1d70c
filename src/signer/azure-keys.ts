/**
 * Azure Key Vault keys: `azurekms://VAULT/KEY[/VERSION]`. VAULT is a vault's name, or its full host in another cloud.
 * Example: `azurekms://shop-vault/distribution`.
 * The key is EC or EC-HSM on P-256. Permissions: keys/read and keys/sign (access policy: get, list, sign). Optional:
 * keyrotationpolicies/read (getrotationpolicy), to warn about a rotation.
 * See docs/keys/azure-keys.md.
 */

import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { KeyRotationPolicy, KeyVaultKey } from '@azure/keyvault-keys';
import {
  azureCallSettings,
  azureClientSettings,
  azureRefusal,
  loadAzureCredential,
  parseVaultEntry,
  type VaultEntry,
} from '../cloud/azure.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { type AutoRotation, ES256_SIGNATURE_BYTES, type Signer } from '../jws.ts';

/** The calls of the SDK that are used. A fetched version can sign. */
type Keys = {
  get(version: string | undefined): Promise<Version>;
  /** Returns the ids of all versions. */
  versions(): AsyncIterable<string>;
  create(): Promise<unknown>;
  rotationPolicy(): Promise<KeyRotationPolicy>;
  close(): void;
};
type Version = { readonly key: KeyVaultKey; sign(digest: Uint8Array): Promise<Uint8Array> };

/**
 * Opens an `azurekms:` locator, and pins one version of the key. It is the version in the locator, or else the version
 * whose public half is `registered`, or else the current version. Throws `config_invalid`, `key_absent`, `key_denied`,
 * `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openAzureKey(locator: string, env: Environment, registered?: KeyObject): Promise<Signer> {
  const entry = parseVaultEntry(locator, 'azurekms');
  const thing = thingOf(entry);
  const keys = await connect(entry, env);
  try {
    return await withRefusals(thing, azureRefusal, async () => ({
      ...signerOf(thing, await choose(keys, entry.version, registered), keys.close),
      autoRotation: entry.version === undefined ? await autoRotationOf(keys) : undefined,
    }));
  } catch (error) {
    keys.close();
    throw error;
  }
}

/** Creates an EC key on P-256 that can only sign. Further permission: keys/create. Throws what opening throws. */
export async function createAzureKey(locator: string, env: Environment): Promise<string> {
  const entry = parseVaultEntry(locator, 'azurekms');
  if (entry.version !== undefined)
    throw new WebdistError('config_invalid', 'Azure chooses the version of a new key.', {
      hint: 'Remove the version: azurekms://VAULT/KEY.',
    });
  const keys = await connect(entry, env);
  await withRefusals(thingOf(entry), azureRefusal, () => keys.create()).finally(keys.close);
  return locator;
}

function signerOf(thing: string, version: Version, close: () => void): Signer {
  return {
    backend: 'azurekms',
    publicKey: publicHalf(thing, version.key),
    sign: (data) =>
      withRefusals(thing, azureRefusal, async () => {
        const signature = await version.sign(hash('sha256', data, 'buffer'));
        if (signature?.length !== ES256_SIGNATURE_BYTES) throw refused(thing, unreadable);
        return signature;
      }),
    close: async () => close(),
  };
}

const thingOf = ({ title }: VaultEntry) => `The Azure Key Vault key ${title}`;

async function choose(keys: Keys, wanted: string | undefined, registered: KeyObject | undefined): Promise<Version> {
  const current = await keys.get(wanted);
  if (wanted !== undefined || registered === undefined) return current;
  const { x, y } = registered.export({ format: 'jwk' });
  const isRegistered = ({ key: { key } }: Version) => base64url(key?.x) === x && base64url(key?.y) === y;
  if (isRegistered(current)) return current;
  for await (const version of keys.versions()) {
    const other = await readable(keys, version);
    if (other && isRegistered(other)) return other;
  }
  return current;
}

/** Returns undefined if the policy cannot be read: signing needs no permission to read it. */
async function autoRotationOf(keys: Keys): Promise<AutoRotation | undefined> {
  const policy = await keys.rotationPolicy().catch(() => undefined);
  const rotate = policy?.lifetimeActions?.find(({ action }) => action === 'Rotate');
  if (!rotate) return undefined;
  const { timeAfterCreate, timeBeforeExpiry } = rotate;
  const when = timeAfterCreate ? `${timeAfterCreate} after the last` : `${timeBeforeExpiry} before the last expires`;
  return {
    found: `gets a new version from Azure ${when} (rotation policy)`,
    hint: 'Remove the action Rotate from its rotation policy (`az keyvault key rotation-policy update`).',
  };
}

/**
 * Returns undefined for a version that may not be read, such as a disabled one, because its public half stays unknown.
 */
async function readable(keys: Keys, version: string): Promise<Version | undefined> {
  try {
    return await keys.get(version);
  } catch (error) {
    if (azureRefusal(error).kind === 'denied') return undefined;
    throw error;
  }
}

async function connect({ vaultUrl, name }: VaultEntry, env: Environment): Promise<Keys> {
  const sdk = await loadSdk('@azure/keyvault-keys', 'A locator azurekms:', () => import('@azure/keyvault-keys'));
  const newCredential = await loadAzureCredential('A locator azurekms:');
  const { settings, close } = azureClientSettings(env);
  const credential = newCredential(settings);
  const client = new sdk.KeyClient(vaultUrl, credential, settings);
  return {
    async get(version) {
      const key = await client.getKey(name, { ...azureCallSettings(), ...(version !== undefined && { version }) });
      const signing = new sdk.CryptographyClient(key, credential, settings);
      return { key, sign: async (digest) => (await signing.sign('ES256', digest, azureCallSettings())).result };
    },
    create: () => client.createEcKey(name, { ...azureCallSettings(), curve: 'P-256', keyOps: ['sign', 'verify'] }),
    rotationPolicy: () => client.getKeyRotationPolicy(name, azureCallSettings()),
    async *versions() {
      for await (const { version } of client.listPropertiesOfKeyVersions(name, azureCallSettings()))
        if (version !== undefined) yield version;
    },
    close,
  };
}

const base64url = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('base64url');

function publicHalf(thing: string, { key, keyOperations, properties }: KeyVaultKey): KeyObject {
  if (properties.enabled === false) throw refused(thing, { kind: 'denied', why: 'is disabled.', hint: 'Enable it.' });
  if (key?.crv !== 'P-256' || !(key.kty === 'EC' || key.kty === 'EC-HSM') || !keyOperations?.includes('sign'))
    throw refused(thing, {
      kind: 'invalid',
      why: 'has another type, curve or use.',
      hint: 'Use a key of the type EC or EC-HSM on P-256 with the operation sign.',
    });
  try {
    const jwk = { kty: 'EC', crv: 'P-256', x: base64url(key.x), y: base64url(key.y) };
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}
