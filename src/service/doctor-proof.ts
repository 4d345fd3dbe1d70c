/**
 * How `webdist doctor` proves to a running service that it has the ledger's secret. The service then reports in its answer
 * how the request reached it, which no visitor learns: the addresses of proxies are the operator's matter.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { derivedKey } from './secret.ts';

/** The header of a request that holds the proof. */
export const PROOF_HEADER = 'webdist-doctor';

/** The header of the answer, which says how the request was received: `{"peer","forwarded","country","machine"}` as JSON. */
export const RECEIVED_HEADER = 'webdist-received';

const MINUTE_MS = 60_000;

/** Returns the proof for this minute, base64url. */
export function doctorProof(secret: string, nowMs: number): string {
  return proofIn(derivedKey(secret, 'doctor'), Math.floor(nowMs / MINUTE_MS));
}

/** Returns whether a text is the proof for this minute or one beside it, because clocks differ. */
export function doctorProofs(secret: string): (proof: string, nowMs: number) => boolean {
  const key = derivedKey(secret, 'doctor');
  return (proof, nowMs) => {
    const minute = Math.floor(nowMs / MINUTE_MS);
    return [minute - 1, minute, minute + 1].some((one) => isSame(proof, proofIn(key, one)));
  };
}

const proofIn = (key: Buffer, minute: number) => createHmac('sha256', key).update(String(minute)).digest('base64url');

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
