/**
 * Makes a new P-256 key where it will live: a locator's scheme chooses the backend, loaded when first asked for. What
 * is there already is never touched.
 */

import type { KeyObject } from 'node:crypto';
import type { Environment } from '../environment.ts';
import { hasCode, WebdistError } from '../errors.ts';
import { openSigner } from './signer.ts';

/** Makes the key; gives the locator by which it is used, where that is another than the one given. */
type Creator = (locator: string, env: Environment) => Promise<string>;

const backends: Readonly<Record<string, () => Promise<Creator>>> = {
  'hashivault:': async () => (await import('./vault-transit.ts')).createVaultTransit,
  'pkcs11:': async () => (await import('./pkcs11-create.ts')).createPkcs11,
  'awskms:': async () => (await import('./aws-kms.ts')).createAwsKms,
  'gcpkms:': async () => (await import('./google-kms.ts')).createGoogleKms,
  'azurekms:': async () => (await import('./azure-keys.ts')).createAzureKey,
};

/**
 * Takes the locator the key is to have; gives the one to use it by, and its public half. The new key has signed once.
 * Throws `state_invalid` when there is a key already, `config_invalid`, `key_denied`, `key_unreachable` or `key_invalid`.
 */
export async function createKey(
  locator: string,
  env: Environment,
): Promise<{ readonly locator: string; readonly publicKey: KeyObject }> {
  const scheme = /^[a-z][a-z0-9+.-]*:/.exec(locator)?.[0] ?? '';
  const backend = backends[scheme];
  if (!backend)
    throw new WebdistError('usage_invalid', `No key can be made in a place with the scheme "${scheme}".`, {
      hint: 'Give hashivault:, awskms:, gcpkms:, azurekms: or pkcs11:; for a file use --out.',
    });
  const create = await backend();
  await refuseExisting(locator, env);
  const made = await create(locator, env);
  const signer = await openSigner(made, env);
  await signer.close();
  return { locator: made, publicKey: signer.publicKey };
}

async function refuseExisting(locator: string, env: Environment): Promise<void> {
  try {
    await (await openSigner(locator, env)).close();
  } catch (error) {
    if (hasCode(error, 'key_absent')) return;
    // A key that is not usable is there all the same.
    if (!hasCode(error, 'key_invalid')) throw error;
  }
  throw new WebdistError('state_invalid', 'There is a key in this place already; it was left as it is.', {
    hint: 'Give another name.',
  });
}
