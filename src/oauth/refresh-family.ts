/**
 * Refresh tokens in families (RFC 9700 §4.14.2): each token is used once and replaced by the next one, and a family ends
 * at a fixed time. Only uses are remembered, not families.
 */

import type { UsedOnce } from './used-once.ts';

/** A family, and the place of one token in it. */
export type Family = { readonly family: string; readonly turn: number; readonly untilSeconds: number };

/** The lifetime of a family, from its first token to the end of its last one. It is that of the device cookie. */
const FAMILY_SECONDS = 400 * 24 * 60 * 60;

/** Begins a family at `nowSeconds`. */
export const newFamily = (nowSeconds: number): Family => ({
  family: crypto.randomUUID(),
  turn: 0,
  untilSeconds: nowSeconds + FAMILY_SECONDS,
});

/**
 * Uses a token. Returns the place of the next one; undefined if the token was used before. In that case, someone has a
 * copy, so the family ends: its one unused token is marked as used, too.
 */
export async function nextInFamily(
  { family, turn, untilSeconds }: Family,
  nowSeconds: number,
  usedOnce: UsedOnce,
): Promise<Family | undefined> {
  const use = (what: number | 'end') => usedOnce(`${family}-${what}`, Math.max(1, untilSeconds - nowSeconds));
  if (await use(turn)) return { family, turn: turn + 1, untilSeconds };
  // The family ends once. Otherwise each replay would search for longer than the one before.
  if (!(await use('end'))) return undefined;
  for (let next = turn + 1; !(await use(next)); ) next += 1;
  return undefined;
}
