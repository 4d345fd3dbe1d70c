/** ECDSA over a given digest, as a KMS computes it; node:crypto's `sign` cannot. For tests only. */

import { createECDH, type KeyObject } from 'node:crypto';

/** Order of the group of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3). */
const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const number = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
const bytes = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');

/** Returns the inverse modulo n, by Euclid's extended algorithm. */
function inverse(value: bigint): bigint {
  let [rest, next, factor, nextFactor] = [n, value, 0n, 1n];
  while (next !== 0n) {
    const quotient = rest / next;
    [rest, next] = [next, rest - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return ((factor % n) + n) % n;
}

/** Takes 32 bytes and a private key on P-256; returns r‖s, 64 bytes (FIPS 186-5 §6.4.1). */
export function signDigest(digest: Uint8Array, privateKey: KeyObject): Buffer {
  const d = number(Buffer.from(String(privateKey.export({ format: 'jwk' }).d), 'base64url'));
  const once = createECDH('prime256v1');
  const r = number(once.generateKeys().subarray(1, 33)) % n;
  const k = number(once.getPrivateKey());
  const s = (inverse(k) * (number(digest) + r * d)) % n;
  return Buffer.concat([bytes(r), bytes(s)]);
}
