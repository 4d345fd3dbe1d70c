/**
 * Google Cloud KMS: `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`.
 * Example: `gcpkms://projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/distribution/cryptoKeyVersions/1`.
 * The key's algorithm is EC_SIGN_P256_SHA256; needed: the roles roles/cloudkms.signer and
 * roles/cloudkms.publicKeyViewer on it. See docs/keys/google-kms.md.
 */

import { createHash, type KeyObject } from 'node:crypto';
import type { protos } from '@google-cloud/kms';
import {
  crc32c,
  damaged,
  googleCallOptions,
  googleClientSettings,
  googleRefusal,
  matchesCrc32c,
} from '../cloud/google.ts';
import { refused, unreadable } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { readPublicKey, type Signer } from '../jws.ts';
import { derToRaw } from './der.ts';

type PublicKey = protos.google.cloud.kms.v1.IPublicKey;
type Signature = protos.google.cloud.kms.v1.IAsymmetricSignResponse;

/** The operations used. */
type Kms = {
  publicKey(): Promise<PublicKey>;
  sign(digest: Uint8Array): Promise<Signature>;
  /** Makes the key `cryptoKeyId` of a key ring; its first version is 1. */
  create(keyRing: string, cryptoKeyId: string): Promise<unknown>;
  close(): Promise<void>;
};

/**
 * Opens a `gcpkms:` locator, which names one version of a key.
 * Throws `config_invalid`, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openGoogleKms(locator: string, env: Environment): Promise<Signer> {
  const name = parse(locator);
  const thing = `The Google Cloud KMS key ${name}`;
  const kms = await connect(name, env);
  try {
    return signerOf(kms, thing, publicHalf(thing, await kms.publicKey()));
  } catch (cause) {
    await kms.close();
    throw cause instanceof WebdistError ? cause : refused(thing, googleRefusal(cause), cause);
  }
}

/**
 * Makes a key in a key ring that is there; the locator names its first version. Google makes it in a moment, so that
 * the first use may have to wait for it. Needed beside what use needs: the role roles/cloudkms.admin on the key ring.
 * Throws as opening does.
 */
export async function createGoogleKms(locator: string, env: Environment): Promise<string> {
  const name = parse(locator);
  const [, keyRing = '', cryptoKeyId = '', version] =
    /^(.+)\/cryptoKeys\/([^/]+)\/cryptoKeyVersions\/(\d+)$/.exec(name) ?? [];
  if (version !== '1')
    throw new WebdistError('config_invalid', 'A new key begins with version 1.', {
      hint: 'End the locator with /cryptoKeyVersions/1.',
    });
  const kms = await connect(name, env);
  try {
    await kms.create(keyRing, cryptoKeyId);
    return locator;
  } catch (cause) {
    throw refused(`The Google Cloud KMS key ${name}`, googleRefusal(cause), cause);
  } finally {
    await kms.close();
  }
}

function signerOf(kms: Kms, thing: string, publicKey: KeyObject): Signer {
  return {
    backend: 'gcpkms',
    publicKey,
    async sign(data) {
      try {
        return rawSignature(thing, await kms.sign(createHash('sha256').update(data).digest()));
      } catch (cause) {
        throw cause instanceof WebdistError ? cause : refused(thing, googleRefusal(cause), cause);
      }
    },
    close: () => kms.close(),
  };
}

function parse(locator: string): string {
  const form =
    /^gcpkms:\/\/(projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+\/cryptoKeyVersions\/\d+)$/;
  const name = form.exec(locator)?.[1];
  if (name === undefined)
    throw new WebdistError(
      'config_invalid',
      'A Google Cloud KMS locator is gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V.',
    );
  return name;
}

async function connect(name: string, env: Environment): Promise<Kms> {
  const sdk = await loadSdk('@google-cloud/kms', 'gcpkms', () => import('@google-cloud/kms'));
  const client = new sdk.KeyManagementServiceClient(
    googleClientSettings(env['CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS']),
  );
  return {
    publicKey: async () => (await client.getPublicKey({ name }, googleCallOptions))[0],
    sign: async (sha256) => {
      const request = { name, digest: { sha256 }, digestCrc32c: { value: crc32c(sha256) } };
      return (await client.asymmetricSign(request, googleCallOptions))[0];
    },
    create: (parent, cryptoKeyId) =>
      client.createCryptoKey(
        {
          parent,
          cryptoKeyId,
          cryptoKey: { purpose: 'ASYMMETRIC_SIGN', versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' } },
        },
        googleCallOptions,
      ),
    close: () => client.close(),
  };
}

function publicHalf(thing: string, answer: PublicKey): KeyObject {
  if (answer.algorithm !== 'EC_SIGN_P256_SHA256')
    throw refused(thing, {
      kind: 'invalid',
      why: `has the algorithm ${answer.algorithm ?? 'unknown'}.`,
      hint: 'Needed is a key with the algorithm EC_SIGN_P256_SHA256.',
    });
  const pem = answer.pem ?? '';
  if (!matchesCrc32c(Buffer.from(pem), answer.pemCrc32c)) throw refused(thing, damaged);
  try {
    return readPublicKey(pem);
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}

/** Google asks for all three checks: what it received, what it sent, and that it is this key's. */
function rawSignature(thing: string, answer: Signature): Uint8Array {
  const der = Buffer.from(answer.signature ?? '');
  if (answer.verifiedDigestCrc32c !== true || !matchesCrc32c(der, answer.signatureCrc32c))
    throw refused(thing, damaged);
  return derToRaw(der, thing);
}
