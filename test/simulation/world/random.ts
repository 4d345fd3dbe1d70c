/** Seeded random numbers: one stream for each purpose, so that leaving out one step does not change the others. */

/** Returns a number from 0 up to, but not including, 1. */
export type Random = () => number;

/** Returns the stream of this name of a run. */
export function randomOf(seed: number, name: string): Random {
  // FNV-1a (RFC 9923) mixes seed and name; mulberry32 makes the numbers.
  let state = 0x811c9dc5;
  for (const character of `${seed} ${name}`) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `least` to `most`. */
export const between = (random: Random, least: number, most: number): number =>
  least + Math.floor(random() * (most - least + 1));

/** One of the items. */
export const oneOf = <T>(random: Random, items: readonly T[]): T => items[between(random, 0, items.length - 1)] as T;

/** Random bytes. */
export function bytesOf(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++) bytes[index] = Math.floor(random() * 256);
  return bytes;
}
