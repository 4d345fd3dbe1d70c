/** Shortens the plan of a failing run: leaves out every step that is not needed for the failure. */

import type { Outcome } from './run.ts';
import type { Step } from './steps.ts';

/**
 * Returns the shortest plan found that breaks the same invariant, and its outcome. `attempt` runs a plan. Removes ever smaller
 * parts (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002).
 */
export async function shrink(
  plan: readonly Step[],
  failed: Outcome,
  attempt: (plan: readonly Step[]) => Promise<Outcome>,
  attempts = 150,
): Promise<{ readonly plan: readonly Step[]; readonly outcome: Outcome }> {
  let best = { plan, outcome: failed };
  let left = attempts;
  for (let size = Math.ceil(plan.length / 2); size >= 1 && left > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.plan.length && left > 0; left--) {
      const shorter = best.plan.toSpliced(from, size);
      const outcome = await attempt(shorter);
      if (outcome.violation?.invariant === failed.violation?.invariant) best = { plan: shorter, outcome };
      else from += size;
    }
  }
  return best;
}
