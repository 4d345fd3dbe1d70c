/** Checks that a private and a public half belong together. */

import { type KeyObject, verify } from 'node:crypto';

/** The data that a signer signs once while it is opened. */
export const PROBE: Uint8Array = Buffer.from('webdist');

/** Whether `signature`, 64 bytes r‖s (RFC 7518 §3.4), was made over `data` with the private half of `publicKey`. */
export const isSignatureOf = (publicKey: KeyObject, data: Uint8Array, signature: Uint8Array): boolean =>
  verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
