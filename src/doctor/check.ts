/** What a check is and what it finds. */

import type { Evidence } from './facts.ts';

type Result = 'ok' | 'info' | 'warn' | 'fail';

/** `found` is what was seen; `hint` the exact next step where something is wrong. Never holds a secret. */
export type Finding = { readonly result: Result; readonly found: string; readonly hint?: string | undefined };

/** One check. It gives nothing where what it builds on is missing or wrong: another check says so. */
export type Check = {
  readonly id: string;
  readonly section: 'private' | 'public';
  /** What depends on it, in one sentence. */
  readonly why: string;
  look(evidence: Evidence): Promise<Finding | undefined> | Finding | undefined;
};

export const ok = (found: string): Finding => ({ result: 'ok', found });
export const info = (found: string): Finding => ({ result: 'info', found });
export const warn = (found: string, hint: string): Finding => ({ result: 'warn', found, hint });
export const fail = (found: string, hint?: string): Finding => ({ result: 'fail', found, hint });

const order: readonly Result[] = ['ok', 'info', 'warn', 'fail'];

/** Several findings of one check, of several apps for example, as one: the worst ones decide and are told. */
export function worstOf(findings: readonly (Finding | undefined)[]): Finding | undefined {
  const present = findings.filter((finding) => finding !== undefined);
  const worst = Math.max(...present.map(({ result }) => order.indexOf(result)));
  const told = present.filter(({ result }) => order.indexOf(result) === worst);
  const [first] = told;
  if (!first) return undefined;
  return { ...first, found: [...new Set(told.map(({ found }) => found))].join('; ') };
}
