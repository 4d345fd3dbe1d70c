/**
 * Makes ES256 compact JWS (RFC 7515, RFC 7518 §3.4) with any holder of a P-256 key. Also defines how public keys are
 * compared: by their SPKI DER bytes.
 */

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { WebdistError } from './errors.ts';

/** Holder of one P-256 private half. Opening it (see `signer/`) has already proved that it can sign. */
export interface Signer {
  /**
   * The backend's name for logs and metrics, such as `file` or `awskms`. Never the locator, which can contain a path or
   * an id.
   */
  readonly backend: string;
  /** The public half, a P-256 key. */
  readonly publicKey: KeyObject;
  /** Set if the backend adds versions to this key by itself, and the locator names none. */
  readonly autoRotation?: AutoRotation | undefined;
  /** Signs `data` with ECDSA and SHA-256; returns the 64 bytes r‖s. Throws `signer_unavailable`. */
  sign(data: Uint8Array): Promise<Uint8Array> | Uint8Array;
  /** Closes connections and sessions. The signer must not be used afterwards. */
  close(): Promise<void>;
}

/** What a backend does to a key by itself, and how to turn that off; completes "the key …". */
export type AutoRotation = { readonly found: string; readonly hint: string };

/** A signer, and the id under which Apple knows its public half. */
export type SigningKey<S = Signer> = {
  readonly signer: S;
  readonly keyId: string;
  /** The protected header in the form of a compact JWS. It is the same for every token, so it is encoded once. */
  readonly encodedHeader: string;
};

/** Bytes of an ES256 signature: r and s, 32 bytes each (RFC 7518 §3.4). */
export const ES256_SIGNATURE_BYTES = 64;

const base64url = (text: string) => Buffer.from(text, 'utf8').toString('base64url');

/** The protected header of every JWS made here, with exactly these members. `kid` is the key id that Apple assigned. */
export const headerFor = (keyId: string) => ({ alg: 'ES256', kid: keyId, typ: 'JWT' }) as const;

/** Combines a signer with its key id. Call it when a key is adopted, not for each token. */
export const signingKey = <S>(signer: S, keyId: string): SigningKey<S> => ({
  signer,
  keyId,
  encodedHeader: base64url(JSON.stringify(headerFor(keyId))),
});

/**
 * Signs a payload as a JWS in compact serialization (RFC 7515 §3.1): `header.payload.signature`.
 * The payload is a plain JSON object, whose members are written in the given order.
 * Throws `signer_unavailable` if the signer fails, or returns anything but 64 bytes.
 */
export async function signCompact(
  { signer, encodedHeader }: Pick<SigningKey<Pick<Signer, 'backend' | 'sign'>>, 'signer' | 'encodedHeader'>,
  payload: object,
): Promise<string> {
  const signingInput = `${encodedHeader}.${base64url(JSON.stringify(payload))}`;
  const signature = await signer.sign(Buffer.from(signingInput, 'ascii'));
  if (signature.length !== ES256_SIGNATURE_BYTES)
    throw new WebdistError(
      'signer_unavailable',
      `The ${signer.backend} signer returned ${signature.length} bytes instead of the 64 of an ES256 signature.`,
    );
  const { buffer, byteOffset, length } = signature;
  return `${signingInput}.${Buffer.from(buffer, byteOffset, length).toString('base64url')}`;
}

/** True for an elliptic curve key, public or private, on P-256. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/**
 * Reads a public key in PEM, with or without line breaks, because Apple uses both forms (docs/apple-facts.md §6.3).
 * Throws `key_invalid` for anything but a P-256 public key.
 */
export function readPublicKey(pem: string): KeyObject {
  const body = /^\s*-----BEGIN PUBLIC KEY-----([\sA-Za-z0-9+/=]+)-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1];
  if (body === undefined)
    throw new WebdistError('key_invalid', 'This is not a PEM block labelled PUBLIC KEY (X.509 SPKI).');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(body, 'base64'), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new WebdistError('key_invalid', 'The key in the PUBLIC KEY block cannot be read.', { cause });
  }
  if (!isP256(key)) throw new WebdistError('key_invalid', 'The public key is not on the curve P-256.');
  return canonical(key);
}

/**
 * The same P-256 public key as a named curve and an uncompressed point (RFC 5480 §2.1.1, §2.2): one key has one encoding,
 * whatever it was read from. Keys from outside pass through here before they are compared or sent.
 */
export function canonical(publicKey: KeyObject): KeyObject {
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' });
  return createPublicKey({ key: { kty: kty ?? '', crv: crv ?? 'P-256', x: x ?? '', y: y ?? '' }, format: 'jwk' });
}

/** Returns a public key in PEM with line breaks, which App Store Connect accepts (docs/apple-facts.md §6.3, form b). */
export function publicKeyPem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'spki' }) as string;
}

/**
 * Caches the results of `spki`, because exporting a key takes longer than signing with it, and every token compares
 * public keys.
 */
const spkiOf = new WeakMap<KeyObject, string>();

/** Returns the bytes by which public keys are compared: SubjectPublicKeyInfo DER (RFC 5280 §4.1.2.7), in base64. */
export function spki(key: KeyObject): string {
  const known = spkiOf.get(key);
  if (known !== undefined) return known;
  const base64 = key.export({ format: 'der', type: 'spki' }).toString('base64');
  spkiOf.set(key, base64);
  return base64;
}

/** Returns the public key with these SPKI bytes. This is the inverse of `spki`. */
export function fromSpki(base64: string): KeyObject {
  return createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
}

/**
 * Returns the readable form of a public half, given its SPKI in base64: `SHA256:` and the hex digest of its DER. The
 * same as `openssl pkey -pubin -in public.pem -outform DER | openssl dgst -sha256`.
 */
export function fingerprint(spkiBase64: string): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(spkiBase64, 'base64')).digest('hex')}`;
}
