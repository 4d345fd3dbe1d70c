/** The types of a check and of its finding. */

import type { Facts } from './facts.ts';

/** Every result, from the best to the worst. */
export const RESULTS = ['ok', 'info', 'warn', 'fail'] as const;

type Result = (typeof RESULTS)[number];

/** `found` is what the check found. `hint` is the exact next step if something is wrong. Neither holds a secret. */
export type Finding = { readonly result: Result; readonly found: string; readonly hint?: string | undefined };

type Run = (facts: Facts) => Promise<Finding | undefined> | Finding | undefined;

/** One check. Returns undefined if a prerequisite is missing or wrong, which another check reports. */
export type Check = {
  /** Stable, kebab-case. */
  readonly id: string;
  /** Where it checks from: this machine, or outside as a device does (`--public`). */
  readonly section: 'private' | 'public';
  /** What depends on it, in one sentence. */
  readonly why: string;
  readonly run: Run;
};

export const privateCheck = (id: string, why: string, run: Run): Check => ({ id, section: 'private', why, run });
export const publicCheck = (id: string, why: string, run: Run): Check => ({ id, section: 'public', why, run });

export const ok = (found: string): Finding => ({ result: 'ok', found });
export const info = (found: string): Finding => ({ result: 'info', found });
export const warn = (found: string, hint: string): Finding => ({ result: 'warn', found, hint });
export const fail = (found: string, hint?: string): Finding => ({ result: 'fail', found, hint });

/**
 * Combines several findings of one check, for example one for each app: returns the worst result, and joins the texts
 * of all findings with that result.
 */
export function worstOf(findings: readonly (Finding | undefined)[]): Finding | undefined {
  const present = findings.filter((finding) => finding !== undefined);
  const worst = Math.max(...present.map(({ result }) => RESULTS.indexOf(result)));
  const reported = present.filter(({ result }) => RESULTS.indexOf(result) === worst);
  const [first] = reported;
  if (!first) return undefined;
  return { ...first, found: [...new Set(reported.map(({ found }) => found))].join('; ') };
}
