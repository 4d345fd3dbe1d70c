/**
 * Refresh tokens in families (RFC 9700 §4.14.2): each token is used once and replaced by the next one, and a family ends
 * at a fixed time. Only uses are remembered, not families.
 */

import type { UsedOnce } from './used-once.ts';

/** A family, and the place of one token in it. */
export type Family = { readonly family: string; readonly turn: number; readonly untilSeconds: number };

/** The lifetime of a family, from its first token to the end of its last one. It is that of the device cookie. */
const FAMILY_SECONDS = 400 * 24 * 60 * 60;

/** Begins a family at `nowSeconds`. The family of an authorization code has the id of the code. */
export const newFamily = (nowSeconds: number, id: string = crypto.randomUUID()): Family => ({
  family: id,
  turn: 0,
  untilSeconds: nowSeconds + FAMILY_SECONDS,
});

/**
 * Uses a token. Returns the place of the next one; undefined if the token was used before. In that case, someone has a
 * copy, so the family ends.
 */
export async function nextInFamily(place: Family, nowSeconds: number, usedOnce: UsedOnce): Promise<Family | undefined> {
  if (await use(place, place.turn, nowSeconds, usedOnce)) return { ...place, turn: place.turn + 1 };
  await endFamily(place, nowSeconds, usedOnce);
  return undefined;
}

/** Ends a family: marks its one unused token, which is at this place or later, as used. */
export async function endFamily(place: Family, nowSeconds: number, usedOnce: UsedOnce): Promise<void> {
  // This is done only once. Otherwise each replay would search for longer than the one before.
  if (!(await use(place, 'end', nowSeconds, usedOnce))) return;
  for (let { turn } = place; !(await use(place, turn, nowSeconds, usedOnce)); ) turn += 1;
}

const use = ({ family, untilSeconds }: Family, what: number | 'end', nowSeconds: number, usedOnce: UsedOnce) =>
  usedOnce(`${family}-${what}`, Math.max(1, untilSeconds - nowSeconds));
