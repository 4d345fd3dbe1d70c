/** Signers whose private half never comes here: a locator's scheme chooses the backend, loaded when first asked for. */

import { type KeyObject, verify } from 'node:crypto';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { type GuardedSigner, guard } from './guarded.ts';

/** A backend whose keys have versions opens the one with the `registered` public half, if there is one; others ignore it. */
type Opener = (locator: string, env: Environment, registered?: KeyObject) => Promise<Signer>;

const backends: Readonly<Record<string, () => Promise<Opener>>> = {
  'hashivault:': async () => (await import('./vault-transit.ts')).openVaultTransit,
  'pkcs11:': async () => (await import('./pkcs11.ts')).openPkcs11,
  'awskms:': async () => (await import('./aws-kms.ts')).openAwsKms,
  'gcpkms:': async () => (await import('./google-kms.ts')).openGoogleKms,
  'azurekms:': async () => (await import('./azure-keys.ts')).openAzureKey,
};

const schemeOf = (locator: string) => /^[a-z][a-z0-9+.-]*:/.exec(locator)?.[0] ?? '';

/**
 * Opens the signer a locator (contract §4) names and proves it: the public half is fetched, is on P-256, and a first
 * signature verifies under it. `registered` is the public half App Store Connect reports: a key that was rotated where
 * it lives is pinned to the version with it. Without such a version the newest is opened, so compare the public half.
 * Throws `config_invalid` for an unknown scheme or malformed locator, `key_absent`, `key_denied`, `key_unreachable`,
 * `key_invalid` or, throttled, `signer_unavailable`, with the backend's name in the message.
 */
export async function openSigner(locator: string, env: Environment, registered?: KeyObject): Promise<GuardedSigner> {
  const backend = backends[schemeOf(locator)];
  if (!backend) throw new WebdistError('config_invalid', `No signer has the scheme "${schemeOf(locator)}".`);
  const signer = await (await backend())(locator, env, registered);
  try {
    await prove(signer);
  } catch (error) {
    await signer.close();
    throw error;
  }
  return guard(signer);
}

/** To see the public half is one permission, to sign is another: a missing one should show now, not at the first install. */
async function prove(signer: Signer): Promise<void> {
  const probe = Buffer.from('webdist');
  const signature = await signer.sign(probe);
  if (!verify('sha256', probe, { key: signer.publicKey, dsaEncoding: 'ieee-p1363' }, signature))
    throw new WebdistError(
      'key_invalid',
      `The ${signer.backend} signer gave a signature that its public half refuses.`,
    );
}
