/**
 * The nonce of an install verification token: a version-4 UUID in upper case (docs/apple-facts.md §1.3, RFC 9562 §5.4)
 * that carries, encrypted, what a server needs to know about the token when evidence of its use arrives. So webdist
 * does not have to store tokens.
 *
 *     minute of issue, 24 bits | app tag, 27 bits | subject tag, 45 bits | counter, 32 bits     one AES block
 *
 * The block is encrypted with AES-256 under a key that only the holders of the ledger's secret have. One encrypted
 * block in 64 is a version-4 UUID. So `seal` encrypts blocks that differ only in the counter until it finds one.
 *
 * - Uniqueness: AES is a permutation, and no two blocks of a process are equal before the counter has run through 2^32
 *   values within one minute. Two processes collide only on the same subject, app and minute, with probability 2^-26.
 * - Unlinkability: without the key, nonces are random distinct UUIDs (AES is a pseudorandom permutation). Only a
 *   repeated nonce reveals that subject, app and minute were equal.
 * - Forgery: a guessed UUID decrypts to one of N apps and a valid minute with probability N · 2881 / 2^51. That is
 *   2^-39.5 for one app and 2^-31 for 360. Evidence from a page must also match the 45 bits of its subject.
 *
 * The full argument, and what else was tried: docs/adr/0011-nonce-carries-its-record.md.
 */

import { createCipheriv, createDecipheriv, createHash, randomInt } from 'node:crypto';

/** What a nonce carries. */
type NonceRecord = {
  readonly appleItemId: string;
  /** The subject tag, an integer below 2^45; undefined for a token that belongs to no subject. */
  readonly subject: number | undefined;
  /** Seconds since 1970; an opened nonce gives the start of the minute. */
  readonly issuedAtSeconds: number;
};

export interface Nonces {
  /** Returns a new nonce that carries the record. */
  seal(record: NonceRecord): string;
  /**
   * Returns the record that a nonce carries, or undefined if the nonce was not made with this key for one of these
   * apps. The minute repeats after 31.9 years. The result has the latest possible minute, at most 24 hours after
   * `nowSeconds`.
   */
  open(nonce: string, nowSeconds: number): NonceRecord | undefined;
}

/** Bits of a subject tag. With 10^9 devices, about 14,000 pairs share one (docs/ledger.md). */
export const SUBJECT_BITS = 45;

const EPOCH_MINUTES = Date.UTC(2026, 0) / 60_000;
const MINUTES = 2 ** 24;
const APP_TAGS = 2 ** 27;
/** How far another replica's clock may be ahead of this one's, for example because this one was set back. */
const AHEAD_MINUTES = 24 * 60;

const BLOCK_BYTES = 16;
/**
 * Blocks encrypted in one call; a nonce takes 1.6 calls on average. This is the fastest of 32, 64, 128, 192 and 256.
 */
const CANDIDATES = 64;

/**
 * Opens nonces under a key of 32 bytes, for the apps given by AppleItemID. Every server with the same key and apps opens
 * what the others sealed. `random(max)` gives an unpredictable integer from 0 to max - 1.
 */
export function openNonces(
  key: Uint8Array,
  appleItemIds: readonly string[],
  random: (max: number) => number = randomInt,
): Nonces {
  const tags = appTags(appleItemIds);
  // Kept open: a new cipher object for each nonce takes 2 µs more. ECB has no state between blocks.
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const decipher = createDecipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const candidates = Buffer.alloc(CANDIDATES * BLOCK_BYTES);
  const words = new DataView(candidates.buffer, candidates.byteOffset, candidates.length);
  let counter = random(2 ** 32);
  return {
    seal({ appleItemId, subject, issuedAtSeconds }) {
      const app = tags.of(appleItemId, subject !== undefined);
      const [first, second, third] = recordWords(minuteOf(issuedAtSeconds), app, subject ?? random(2 ** SUBJECT_BITS));
      for (;;) {
        for (let index = 0; index < CANDIDATES; index++) {
          const at = index * BLOCK_BYTES;
          words.setUint32(at, first);
          words.setUint32(at + 4, second);
          words.setUint32(at + 8, third);
          words.setUint32(at + 12, counter + index);
        }
        const blocks = cipher.update(candidates);
        const index = firstUuid(blocks);
        // Advances past every candidate that was tried, so that no block is ever encrypted twice.
        counter = (counter + (index < 0 ? CANDIDATES : index + 1)) >>> 0;
        if (index >= 0) return uuidText(blocks, index * BLOCK_BYTES);
      }
    },
    open(nonce, nowSeconds) {
      const block = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(nonce)
        ? Buffer.from(nonce.replaceAll('-', ''), 'hex')
        : undefined;
      if (!block || firstUuid(block) < 0) return undefined;
      const opened = decipher.update(block);
      const [first, second] = [opened.readUInt32BE(0), opened.readUInt32BE(4)];
      const meaning = tags.meaning((first & 0xff) * 2 ** 19 + (second >>> 13));
      if (!meaning) return undefined;
      return {
        appleItemId: meaning.appleItemId,
        subject: meaning.hasSubject ? (second & 0x1fff) * 2 ** 32 + opened.readUInt32BE(8) : undefined,
        issuedAtSeconds: latestWith(first >>> 8, nowSeconds),
      };
    },
  };
}

type Meaning = { readonly appleItemId: string; readonly hasSubject: boolean };

/**
 * Two tags for each app: for tokens that belong to a subject, and for those that belong to none. If two tags collide
 * (with 8 apps, the probability is one in a million), the app whose id sorts later gets the next free tag, in the same
 * way on every replica.
 */
function appTags(appleItemIds: readonly string[]) {
  const meanings = new Map<number, Meaning>();
  const tags = { true: new Map<string, number>(), false: new Map<string, number>() };
  for (const appleItemId of [...appleItemIds].sort())
    for (const hasSubject of [true, false]) {
      const digest = createHash('sha256')
        .update(`${hasSubject ? 'subject' : 'none'} ${appleItemId}`)
        .digest();
      let tag = digest.readUInt32BE(0) % APP_TAGS;
      while (meanings.has(tag)) tag = (tag + 1) % APP_TAGS;
      meanings.set(tag, { appleItemId, hasSubject });
      tags[`${hasSubject}`].set(appleItemId, tag);
    }
  return {
    meaning: (tag: number) => meanings.get(tag),
    of(appleItemId: string, hasSubject: boolean): number {
      const tag = tags[`${hasSubject}`].get(appleItemId);
      if (tag === undefined) throw new TypeError(`${appleItemId} is not one of the apps that nonces were opened for.`);
      return tag;
    },
  };
}

/** The first 96 bits of the block, as three 32-bit words. */
function recordWords(minute: number, app: number, subject: number): readonly [number, number, number] {
  return [((minute << 8) | (app >>> 19)) >>> 0, ((app << 13) | Math.floor(subject / 2 ** 32)) >>> 0, subject >>> 0];
}

const minuteOf = (seconds: number) => (Math.floor(seconds / 60) - EPOCH_MINUTES) & (MINUTES - 1);

/** The start of the latest matching minute that is not too far ahead, in seconds since 1970. */
function latestWith(minute: number, nowSeconds: number): number {
  const latest = Math.floor(nowSeconds / 60) + AHEAD_MINUTES;
  return (latest - ((latest - EPOCH_MINUTES - minute) & (MINUTES - 1))) * 60;
}

/** The index of the first block that is a version-4 UUID (RFC 9562 §5.4: version 4, variant 10), or -1. */
function firstUuid(blocks: Buffer): number {
  for (let at = 0; at < blocks.length; at += BLOCK_BYTES)
    if ((blocks[at + 6] as number) >> 4 === 4 && (blocks[at + 8] as number) >> 6 === 2) return at / BLOCK_BYTES;
  return -1;
}

function uuidText(blocks: Buffer, at: number): string {
  const hex = blocks.toString('hex', at, at + BLOCK_BYTES).toUpperCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
