/**
 * The nonce of an install verification token: a random UUID, version 4, in upper case (Apple: "Supplying an install
 * verification token", docs/apple-facts.md §1.3; RFC 9562 §5.4).
 */

import { randomUUID } from 'node:crypto';

/** So many nonces in a row begin with the same digits. */
const TOGETHER = 256;

let firstDigits = '';
let left = 0;

/**
 * A new nonce. All of its bits are random, but the first 32 are drawn once for many nonces: so these lie side by side in a
 * ledger's index, and the tokens of one turn write one page of it instead of one page each. The other 90 bits are a
 * token's own: more than anybody can guess, or will ever see twice.
 */
export function newNonce(): string {
  const uuid = randomUUID().toUpperCase();
  if (left === 0) {
    firstDigits = uuid.slice(0, 8);
    left = TOGETHER;
  }
  left -= 1;
  return firstDigits + uuid.slice(8);
}
