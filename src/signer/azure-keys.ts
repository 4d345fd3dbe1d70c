/**
 * Azure Key Vault keys: `azurekms://VAULT/KEY[/VERSION]`, VAULT being a vault's name, or its full host in another cloud.
 * Example: `azurekms://shop-vault/distribution`.
 * The key is EC or EC-HSM on P-256; needed: keys/read and keys/sign (access policy: get, list, sign). See
 * docs/keys/azure-keys.md.
 */

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { KeyVaultKey } from '@azure/keyvault-keys';
import {
  azureCallSettings,
  azureClientSettings,
  azureCredential,
  azureRefusal,
  parseVaultEntry,
  type VaultEntry,
} from '../cloud/azure.ts';
import { refused, unreadable } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { ES256_SIGNATURE_BYTES, type Signer } from '../jws.ts';

/** The operations used; a version, once got, signs by itself. */
type Keys = {
  get(version: string | undefined): Promise<Version>;
  /** Ids of the versions that are enabled. */
  versions(): AsyncIterable<string>;
  create(): Promise<unknown>;
};
type Version = { readonly key: KeyVaultKey; sign(digest: Uint8Array): Promise<Uint8Array> };

/**
 * Opens an `azurekms:` locator and pins one version of the key: the one of the locator; else the one whose public half
 * is `registered`, if there is one; else the one that is current now.
 * Throws `config_invalid`, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openAzureKey(locator: string, _env: Environment, registered?: KeyObject): Promise<Signer> {
  const entry = parseVaultEntry(locator, 'azurekms');
  const thing = `The Azure Key Vault key ${new URL(entry.vaultUrl).host}/${entry.name}`;
  const keys = await connect(entry);
  try {
    return signerOf(thing, await choose(keys, entry.version, registered));
  } catch (cause) {
    throw cause instanceof WebdistError ? cause : refused(thing, azureRefusal(cause), cause);
  }
}

/** Makes an EC key on P-256 that may only sign. Needed beside what use needs: keys/create. Throws as opening does. */
export async function createAzureKey(locator: string, _env: Environment): Promise<string> {
  const entry = parseVaultEntry(locator, 'azurekms');
  if (entry.version !== undefined)
    throw new WebdistError('config_invalid', 'Azure chooses the version of a new key.', {
      hint: 'Leave the version out: azurekms://VAULT/KEY.',
    });
  try {
    await (await connect(entry)).create();
    return locator;
  } catch (cause) {
    const thing = `The Azure Key Vault key ${new URL(entry.vaultUrl).host}/${entry.name}`;
    throw cause instanceof WebdistError ? cause : refused(thing, azureRefusal(cause), cause);
  }
}

function signerOf(thing: string, version: Version): Signer {
  return {
    backend: 'azurekms',
    publicKey: publicHalf(thing, version.key),
    async sign(data) {
      try {
        const signature = await version.sign(createHash('sha256').update(data).digest());
        if (signature?.length !== ES256_SIGNATURE_BYTES) throw refused(thing, unreadable);
        return signature;
      } catch (cause) {
        throw cause instanceof WebdistError ? cause : refused(thing, azureRefusal(cause), cause);
      }
    },
    async close() {
      // The SDK's clients have nothing to let go of.
    },
  };
}

async function choose(keys: Keys, wanted: string | undefined, registered: KeyObject | undefined): Promise<Version> {
  const current = await keys.get(wanted);
  if (wanted !== undefined || registered === undefined) return current;
  const { x, y } = registered.export({ format: 'jwk' });
  const isRegistered = ({ key: { key } }: Version) => base64url(key?.x) === x && base64url(key?.y) === y;
  if (isRegistered(current)) return current;
  for await (const version of keys.versions()) {
    const other = await keys.get(version);
    if (isRegistered(other)) return other;
  }
  return current;
}

async function connect({ vaultUrl, name }: VaultEntry): Promise<Keys> {
  const sdk = await loadSdk('@azure/keyvault-keys', 'azurekms', () => import('@azure/keyvault-keys'));
  const credential = await azureCredential('azurekms');
  const client = new sdk.KeyClient(vaultUrl, credential, azureClientSettings);
  return {
    async get(version) {
      const key = await client.getKey(name, { ...azureCallSettings, ...(version !== undefined && { version }) });
      const signing = new sdk.CryptographyClient(key, credential, azureClientSettings);
      return { key, sign: async (digest) => (await signing.sign('ES256', digest, azureCallSettings)).result };
    },
    create: () => client.createEcKey(name, { ...azureCallSettings, curve: 'P-256', keyOps: ['sign', 'verify'] }),
    async *versions() {
      for await (const { enabled, version } of client.listPropertiesOfKeyVersions(name, azureCallSettings))
        if (enabled && version !== undefined) yield version;
    },
  };
}

const base64url = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('base64url');

function publicHalf(thing: string, { key, keyOperations, properties }: KeyVaultKey): KeyObject {
  if (properties.enabled === false) throw refused(thing, { kind: 'denied', why: 'is disabled.', hint: 'Enable it.' });
  if (key?.crv !== 'P-256' || !(key.kty === 'EC' || key.kty === 'EC-HSM') || !keyOperations?.includes('sign'))
    throw refused(thing, {
      kind: 'invalid',
      why: `is of the type ${key?.kty ?? 'unknown'} ${key?.crv ?? ''} for ${keyOperations?.join(', ') ?? 'nothing'}.`,
      hint: 'Needed is a key of the type EC or EC-HSM on P-256 that may sign.',
    });
  try {
    const jwk = { kty: 'EC', crv: 'P-256', x: base64url(key.x), y: base64url(key.y) };
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}
