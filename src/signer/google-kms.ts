/**
 * Google Cloud KMS: `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`.
 * Example: `gcpkms://projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/distribution/cryptoKeyVersions/1`.
 * The key's algorithm is EC_SIGN_P256_SHA256. Permissions: the roles roles/cloudkms.signer and
 * roles/cloudkms.publicKeyViewer on it. See docs/keys/google-kms.md.
 */

import { hash, type KeyObject } from 'node:crypto';
import type { protos } from '@google-cloud/kms';
import {
  crc32c,
  damaged,
  googleCallOptions,
  googleClientSettings,
  googleRefusal,
  matchesCrc32c,
  prepareGoogleClient,
} from '../cloud/google.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { readPublicKey, type Signer } from '../jws.ts';
import { derToRaw } from './der.ts';

type PublicKey = protos.google.cloud.kms.v1.IPublicKey;
type Signature = protos.google.cloud.kms.v1.IAsymmetricSignResponse;

/** The calls of the SDK that are used. */
type Kms = {
  publicKey(): Promise<PublicKey>;
  sign(digest: Uint8Array): Promise<Signature>;
  /** Creates the key `cryptoKeyId` in a key ring; its first version is 1. */
  create(keyRing: string, cryptoKeyId: string): Promise<unknown>;
  close(): Promise<void>;
};

/**
 * Opens a `gcpkms:` locator, which names one version of a key.
 * Throws `config_invalid`, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openGoogleKms(locator: string, env: Environment): Promise<Signer> {
  const name = parse(locator);
  const thing = thingOf(name);
  const kms = await connect(thing, name, env);
  try {
    const response = await withRefusals(thing, googleRefusal, () => kms.publicKey());
    return signerOf(kms, thing, publicHalf(thing, response));
  } catch (error) {
    await kms.close();
    throw error;
  }
}

/**
 * Creates a key in an existing key ring. The locator names the key's first version. Google generates the key
 * asynchronously, so the first use may have to wait. Further permission: the role roles/cloudkms.admin on the key ring.
 * Throws what opening throws.
 */
export async function createGoogleKms(locator: string, env: Environment): Promise<string> {
  const name = parse(locator);
  const [, keyRing = '', cryptoKeyId = '', version] =
    /^(.+)\/cryptoKeys\/([^/]+)\/cryptoKeyVersions\/(\d+)$/.exec(name) ?? [];
  if (version !== '1')
    throw new WebdistError('config_invalid', 'The first version of a new key is 1.', {
      hint: 'End the locator with /cryptoKeyVersions/1.',
    });
  const kms = await connect(thingOf(name), name, env);
  try {
    await withRefusals(thingOf(name), googleRefusal, () => kms.create(keyRing, cryptoKeyId));
    return locator;
  } finally {
    await kms.close();
  }
}

function signerOf(kms: Kms, thing: string, publicKey: KeyObject): Signer {
  return {
    backend: 'gcpkms',
    publicKey,
    sign: (data) =>
      withRefusals(thing, googleRefusal, async () =>
        rawSignature(thing, await kms.sign(hash('sha256', data, 'buffer'))),
      ),
    close: () => kms.close(),
  };
}

const thingOf = (name: string) => `The Google Cloud KMS key ${name}`;

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

async function connect(thing: string, name: string, env: Environment): Promise<Kms> {
  const sdk = await loadSdk('@google-cloud/kms', 'A locator gcpkms:', () => import('@google-cloud/kms'));
  const client = new sdk.KeyManagementServiceClient(
    googleClientSettings(env['CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS']),
  );
  await prepareGoogleClient(thing, client, env);
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

function publicHalf(thing: string, response: PublicKey): KeyObject {
  if (response.algorithm !== 'EC_SIGN_P256_SHA256')
    throw refused(thing, {
      kind: 'invalid',
      why: 'has another algorithm.',
      hint: 'Use a key with the algorithm EC_SIGN_P256_SHA256.',
    });
  const pem = response.pem ?? '';
  if (!matchesCrc32c(Buffer.from(pem), response.pemCrc32c)) throw refused(thing, damaged);
  try {
    return readPublicKey(pem);
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}

/**
 * Checks that the request and the response arrived unchanged
 * (https://cloud.google.com/kms/docs/data-integrity-guidelines).
 */
function rawSignature(thing: string, response: Signature): Uint8Array {
  const der = Buffer.from(response.signature ?? '');
  if (response.verifiedDigestCrc32c !== true || !matchesCrc32c(der, response.signatureCrc32c))
    throw refused(thing, damaged);
  return derToRaw(der, thing);
}
