/** Converts ECDSA signatures from ASN.1 DER, which AWS and Google return, to the r‖s of JOSE (RFC 7518 §3.4). */

import { derToJose } from 'ecdsa-sig-formatter';
import { refused, unreadable } from '../cloud/refusal.ts';

/**
 * Converts a DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3) of a P-256 key to 64 bytes r‖s. `thing` is the subject of the error
 * message (`The AWS KMS key x`). Throws `key_invalid`.
 */
export function derToRaw(der: Uint8Array, thing: string): Uint8Array {
  try {
    return Buffer.from(derToJose(Buffer.from(der), 'ES256'), 'base64url');
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}
