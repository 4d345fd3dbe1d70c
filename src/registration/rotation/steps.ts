/**
 * The next step of replacing one registered key by another. Apple only offers adding and removing, and does not document
 * whether two keys may be registered at once (docs/apple-facts.md §6.4). So adding comes first, and only if it is refused
 * is the old key removed first. The step depends on what is registered now, never on what was done before, so that after
 * a kill at any point the next run just reads what is registered and continues.
 */

/** What is registered now. */
export type Registered = {
  /** The id of the new key, if it is registered. */
  readonly targetId: string | undefined;
  /** The ids of the registered keys that it replaces. */
  readonly otherIds: readonly string[];
  /** How often adding was refused since the last removal. */
  readonly refusals: number;
};

/** `isLast`: the next refusal is final. */
export type Step =
  | { readonly act: 'add'; readonly isLast: boolean }
  | { readonly act: 'remove' | 'finish'; readonly keyId: string };

/** After the removal, a key may still be refused until all of Apple's servers know that the old one is gone. */
const MAX_REFUSALS = 4;

export function nextStep({ targetId, otherIds, refusals }: Registered): Step {
  const [other] = otherIds;
  if (other !== undefined && (targetId !== undefined || refusals > 0)) return { act: 'remove', keyId: other };
  if (targetId !== undefined) return { act: 'finish', keyId: targetId };
  return { act: 'add', isLast: refusals >= MAX_REFUSALS };
}
