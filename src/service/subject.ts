/** What stands for a device: an id, and the keyed hash by which cookie, ledger, log and audit file know it. */

import { createHmac } from 'node:crypto';
import { SUBJECT_BITS } from '../install-token/nonce.ts';

/** Who an install is for, in the clear: the id of a device cookie, or an id that an authenticated caller sent. */
export type Subject = { readonly kind: 'device' | 'caller'; readonly id: string };

/** Both are parts of one HMAC-SHA512 and share no bit. */
export type SubjectHash = {
  /** Signs a device cookie: 256 bits, base64url. */
  readonly signature: string;
  /** Identifies the subject in nonces, ledger, log and audit file: an integer below 2^45. One-way without the key. */
  readonly tag: number;
};

const SIGNATURE_BYTES = 32;

/** Returns the hash function of a key. A subject object is hashed once, however many apps a request names. */
export function subjectHashes(key: Buffer): (subject: Subject) => SubjectHash {
  const known = new WeakMap<Subject, SubjectHash>();
  return (subject) => {
    const before = known.get(subject);
    if (before) return before;
    const digest = createHmac('sha512', key).update(`${subject.kind}\0${subject.id}`).digest();
    const hash = {
      signature: digest.toString('base64url', 0, SIGNATURE_BYTES),
      tag: digest.readUIntBE(SIGNATURE_BYTES, 6) % 2 ** SUBJECT_BITS,
    };
    known.set(subject, hash);
    return hash;
  };
}

/** A subject tag as logs, the audit file and `webdist ledger export` show it: 12 hex digits. */
export const tagText = (tag: number): string => tag.toString(16).padStart(12, '0');
