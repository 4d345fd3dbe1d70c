/** What a check is, and what it finds. */

import type { Facts } from './facts.ts';

type Result = 'ok' | 'info' | 'warn' | 'fail';

/** `found` is what the check saw; `hint` is the exact next step if something is wrong. Neither holds a secret. */
export type Finding = { readonly result: Result; readonly found: string; readonly hint?: string | undefined };

type Run = (facts: Facts) => Promise<Finding | undefined> | Finding | undefined;

/** One check. It returns undefined if a prerequisite is missing or wrong; another check reports that. */
export type Check = {
  /** Stable, kebab-case. */
  readonly id: string;
  /** Checked from this machine, or from outside as a device does (`--public`). */
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

const order: readonly Result[] = ['ok', 'info', 'warn', 'fail'];

/** Combines the findings of one check, for example of several apps: the worst result, with what all of that result found. */
export function worstOf(findings: readonly (Finding | undefined)[]): Finding | undefined {
  const present = findings.filter((finding) => finding !== undefined);
  const worst = Math.max(...present.map(({ result }) => order.indexOf(result)));
  const reported = present.filter(({ result }) => order.indexOf(result) === worst);
  const [first] = reported;
  if (!first) return undefined;
  return { ...first, found: [...new Set(reported.map(({ found }) => found))].join('; ') };
}
