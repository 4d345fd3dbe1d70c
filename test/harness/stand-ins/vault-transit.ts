/** The keys of Vault's Transit engine: their description in its API, and their signatures. For tests only. */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { joseToDer } from 'ecdsa-sig-formatter';
import { signDigest } from './sign-digest.ts';

export type TransitKey = {
  type: string;
  versions: KeyObject[];
  minEncryptionVersion: number;
  autoRotateSeconds: number;
};

/** The status and the body of an answer. */
type Signed = readonly [status: number, body: object];

const curves: Record<string, string> = { 'ecdsa-p256': 'P-256', 'ecdsa-p384': 'P-384' };

export function newKey(type: string): KeyObject {
  const namedCurve = curves[type];
  return generateKeyPairSync('ec', { namedCurve: namedCurve ?? 'P-256' }).privateKey;
}

/** `data` of `GET transit/keys/NAME`. */
export function described({ type, versions, minEncryptionVersion, autoRotateSeconds }: TransitKey) {
  const shown = versions.map((key, index) => [
    String(index + 1),
    curves[type]
      ? { name: curves[type], public_key: createPublicKey(key).export({ format: 'pem', type: 'spki' }) }
      : 1442851412,
  ]);
  return {
    type,
    latest_version: versions.length,
    min_available_version: 0,
    min_decryption_version: 1,
    min_encryption_version: minEncryptionVersion,
    auto_rotate_period: autoRotateSeconds,
    supports_signing: curves[type] !== undefined,
    keys: Object.fromEntries(shown),
  };
}

/**
 * As in path_sign_verify.go: the members beside `batch_input` apply to every item of it, and each item has its own
 * outcome.
 */
export function signed(key: TransitKey, body: Readonly<Record<string, unknown>>, knowsJws: boolean): Signed {
  const { batch_input: items, prehashed, marshaling_algorithm: marshaling, key_version: version, ...others } = body;
  if (Object.keys(others).length > 0 || !Array.isArray(items)) return refused('unknown parameter');
  const privateKey = key.versions[Number(version || key.versions.length) - 1];
  if (!privateKey || Number(version) < key.minEncryptionVersion)
    return refused('cannot sign: version is too old or does not exist');
  const results = items.map(({ input }) => {
    const digest = Buffer.from(String(input), 'base64');
    if (prehashed !== true || digest.length !== 32) return { error: 'the stand-in signs SHA-256 digests' };
    const raw = signDigest(digest, privateKey);
    const signature =
      knowsJws && marshaling === 'jws' ? raw.toString('base64url') : joseToDer(raw, 'ES256').toString('base64');
    return { signature: `vault:v${version}:${signature}`, key_version: version };
  });
  return [200, { data: { batch_results: results } }];
}

const refused = (why: string): Signed => [400, { errors: [why] }];
