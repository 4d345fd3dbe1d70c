/**
 * ES256 compact JWS (RFC 7515, RFC 7518 §3.4) over any holder of a P-256 key, and the one way two public keys are
 * compared here: by their SPKI DER bytes.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { WebdistError } from './errors.ts';
import { latest } from './latest.ts';

/** Holder of one P-256 private half. Opening one (see `signer/`) has already proved that it can be used. */
export interface Signer {
  /** The backend's name for logs and metrics, e.g. `file`, `awskms`. Never the locator: it can hold a path or an id. */
  readonly backend: string;
  /** The public half, a P-256 key. */
  readonly publicKey: KeyObject;
  /** ECDSA with SHA-256 over `data`; gives the 64 bytes r‖s. Throws `signer_unavailable`. */
  sign(data: Uint8Array): Promise<Uint8Array> | Uint8Array;
  /** Lets go of connections and sessions; the signer must not be used after. */
  close(): Promise<void>;
}

/** Bytes of an ES256 signature: r and s, 32 bytes each (RFC 7518 §3.4). */
export const ES256_SIGNATURE_BYTES = 64;

const base64url = (text: string) => Buffer.from(text, 'utf8').toString('base64url');

type Header = { readonly alg: 'ES256'; readonly kid: string; readonly typ: 'JWT' };

/** A server signs under one header for as long as nobody changes the key. */
const headerPart = latest((header: Header) => base64url(JSON.stringify(header)));

/**
 * Signs a header and a payload as JWS compact serialization (RFC 7515 §3.1).
 * Takes plain JSON objects, members are written in the order given; gives `header.payload.signature`.
 * Throws `signer_unavailable` when the signer fails or gives something else than 64 bytes.
 */
export async function signCompact(
  signer: Pick<Signer, 'backend' | 'sign'>,
  header: Header,
  payload: object,
): Promise<string> {
  const signingInput = `${headerPart(header)}.${base64url(JSON.stringify(payload))}`;
  const signature = await signer.sign(Buffer.from(signingInput, 'ascii'));
  if (signature.length !== ES256_SIGNATURE_BYTES)
    throw new WebdistError(
      'signer_unavailable',
      `The ${signer.backend} signer gave ${signature.length} bytes, not the 64 of an ES256 signature.`,
    );
  return `${signingInput}.${Buffer.from(signature).toString('base64url')}`;
}

/** True when this is an elliptic curve key, public or private, on P-256. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/**
 * Reads a public key PEM in any of the spellings Apple uses, line breaks or none (docs/apple-facts.md §6.3).
 * Throws `key_invalid` when it is not a P-256 public key.
 */
export function readPublicKey(pem: string): KeyObject {
  const body = /^\s*-----BEGIN PUBLIC KEY-----([\sA-Za-z0-9+/=]+)-----END PUBLIC KEY-----\s*$/.exec(pem)?.[1];
  if (body === undefined)
    throw new WebdistError('key_invalid', 'This is not a PEM block with the label PUBLIC KEY (X.509 SPKI).');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(body, 'base64'), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new WebdistError('key_invalid', 'The PUBLIC KEY block does not hold a readable key.', { cause });
  }
  if (!isP256(key)) throw new WebdistError('key_invalid', 'The public key is not on the curve P-256.');
  return key;
}

/** A public key as PEM with line breaks, as App Store Connect takes it (docs/apple-facts.md §6.3, form b). */
export function publicKeyPem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'spki' }) as string;
}

/** What `spki` gave for a key: exporting takes longer than signing, and every token asks which key is registered. */
const spkiOf = new WeakMap<KeyObject, string>();

/** The bytes by which two public keys are compared: SubjectPublicKeyInfo DER, as base64. */
export function spki(key: KeyObject): string {
  const known = spkiOf.get(key);
  if (known !== undefined) return known;
  const base64 = key.export({ format: 'der', type: 'spki' }).toString('base64');
  spkiOf.set(key, base64);
  return base64;
}

/** The public key of such bytes; the reverse of `spki`. */
export function fromSpki(base64: string): KeyObject {
  return createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
}
