/** Reads forms of a private key other than PEM. Converts DER and JWK to PEM, and names forms that cannot be read. */

import { createPrivateKey, createPublicKey, type webcrypto, X509Certificate } from 'node:crypto';
import { WebdistError } from '../errors.ts';

const ADVICE = 'Use the PEM of the private key: a block that begins with -----BEGIN PRIVATE KEY-----.';

/**
 * Returns a PEM block of this DER. Its label follows from the structure of the DER. Throws `key_invalid` for PKCS#12.
 */
export function derToPem(der: Buffer): string {
  const label = labelOf(der);
  return `-----BEGIN ${label}-----\n${der.toString('base64')}\n-----END ${label}-----\n`;
}

/**
 * The first element shows the form: PKCS#8, SEC1 and PKCS#12 begin with their version, and other forms with a SEQUENCE.
 */
function labelOf(der: Buffer): string {
  const start = (der[1] ?? 0) < 0x80 ? 2 : 2 + (der[1] ?? 0) - 0x80;
  const version = der[start] === 2 && der[start + 1] === 1 ? der[start + 2] : undefined;
  if (version === 0) return 'PRIVATE KEY';
  if (version === 1) return 'EC PRIVATE KEY';
  if (version === 3)
    throw new WebdistError('key_invalid', 'It is a PKCS#12 file (.p12, .pfx), not a private key.', {
      hint: 'Convert it with: openssl pkcs12 -in key.p12 -nodes -nocerts -out key.pem',
    });
  if (succeeds(() => createPublicKey({ key: der, format: 'der', type: 'spki' }))) return 'PUBLIC KEY';
  return succeeds(() => new X509Certificate(der)) ? 'CERTIFICATE' : 'ENCRYPTED PRIVATE KEY';
}

/** Returns a PEM of a JWK (RFC 7517) with a private half. Throws `key_invalid`, without any part of the text. */
export function jwkToPem(text: string): string {
  const invalid = (detail: string) => new WebdistError('key_invalid', detail, { hint: ADVICE });
  let jwk: { kty?: unknown; keys?: unknown; d?: unknown; private_key?: unknown };
  try {
    jwk = JSON.parse(text);
  } catch {
    throw invalid('It begins like JSON, but is not JSON.');
  }
  if (jwk.keys !== undefined) throw invalid('It is a set of JWKs, not one key.');
  if (jwk.private_key !== undefined)
    throw invalid('It is a JSON file with credentials of a service account, not a key.');
  if (jwk.kty === undefined) throw invalid('It is a JSON object, but not a JWK.');
  if (jwk.d === undefined) throw invalid('It is a JWK without its private half.');
  try {
    const key = createPrivateKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' });
    return key.export({ format: 'pem', type: 'pkcs8' }).toString();
  } catch {
    throw invalid('The JWK is damaged: it contains no readable key.');
  }
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
