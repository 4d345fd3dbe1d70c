/**
 * Which step comes next when one registered key is put in the place of another. Apple offers to add and to delete, nothing
 * else, and does not say whether two keys may be there at once (docs/apple-facts.md §6.4): so adding is tried first, and only
 * when it is refused the old key goes first. Decided from what is there, never from what was done, so that a run that was
 * killed anywhere is resumed by asking again. Pure.
 */

/** What is there now. */
export type Standing = {
  /** Id of the new key, when it is registered. */
  readonly targetId: string | undefined;
  /** Ids of the registered keys it is to replace. */
  readonly otherIds: readonly string[];
  /** How often adding was refused since something was last removed. */
  readonly refusals: number;
};

/** `isLast`: another refusal is final. */
export type Step =
  | { readonly act: 'add'; readonly isLast: boolean }
  | { readonly act: 'remove' | 'finish'; readonly keyId: string };

/** With nothing in its way a key may still be refused for a while, until all of Apple knows that the old one is gone. */
const MOST_REFUSALS = 4;

export function nextStep({ targetId, otherIds, refusals }: Standing): Step {
  const [other] = otherIds;
  if (other !== undefined && (targetId !== undefined || refusals > 0)) return { act: 'remove', keyId: other };
  if (targetId !== undefined) return { act: 'finish', keyId: targetId };
  return { act: 'add', isLast: refusals >= MOST_REFUSALS };
}
