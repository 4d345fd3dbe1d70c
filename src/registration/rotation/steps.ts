/**
 * Decides the next step of replacing one registered key with another. Apple only offers adding and removing, and does
 * not document whether two keys may be registered at once (docs/apple-facts.md §6.4). So the new key is added first.
 * Only if that is refused, the old key is removed first. The step depends only on the current registration, never on
 * earlier steps. So after a kill at any point, the next run reads the registration and continues.
 */

/** What is registered now. */
export type Registered = {
  /** The id of the new key, if it is registered. */
  readonly targetId: string | undefined;
  /** The ids of the registered keys that it replaces. */
  readonly otherIds: readonly string[];
  /** The number of refused additions since the last removal. */
  readonly refusals: number;
  /** Whether the old keys stay registered beside the new one for now, if Apple accepts that. */
  readonly keepsOthers: boolean;
};

/** `isLast` means that the next refusal is final. */
export type Step =
  | { readonly act: 'add'; readonly isLast: boolean }
  | { readonly act: 'remove' | 'finish'; readonly keyId: string };

/** After the removal, Apple may still refuse a key until all of its servers know that the old one is gone. */
const MAX_REFUSALS = 4;

export function nextStep({ targetId, otherIds, refusals, keepsOthers }: Registered): Step {
  const [other] = otherIds;
  const isRemovalDue = targetId === undefined ? refusals > 0 : !keepsOthers;
  if (other !== undefined && isRemovalDue) return { act: 'remove', keyId: other };
  if (targetId !== undefined) return { act: 'finish', keyId: targetId };
  return { act: 'add', isLast: refusals >= MAX_REFUSALS };
}
