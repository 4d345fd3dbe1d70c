/** ECDSA signatures as ASN.1 DER, which AWS and Google answer, into the r‖s of JOSE (RFC 7518 §3.4). */

import { derToJose } from 'ecdsa-sig-formatter';
import { refused, unreadable } from '../cloud/refusal.ts';

/**
 * Takes a DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3) over P-256, and the key it came from in words (`The AWS KMS key x`);
 * gives 64 bytes. Throws `key_invalid`.
 */
export function derToRaw(der: Uint8Array, thing: string): Uint8Array {
  try {
    return Buffer.from(derToJose(Buffer.from(der), 'ES256'), 'base64url');
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
}
