/** The form of one check of the simulated device, and how a table of them is run. */

/** What one check found. A warning is ok: a device would install, but somebody should look. */
export type Outcome = { readonly ok: boolean; readonly detail: string; readonly warning?: true };
export type CheckResult = { readonly name: string } & Outcome;

/**
 * Name, line in the rejection checklist (docs/apple-facts.md §10; 0: none of its own), and the check. It gives undefined, and
 * is left out of the verdict, when what it looks at is missing, which another check has then said.
 */
export type Check<Seen> = readonly [name: string, line: number, run: (seen: Seen) => Outcome | undefined];

export const pass = (detail: string): Outcome => ({ ok: true, detail });
export const fail = (detail: string): Outcome => ({ ok: false, detail });
export const warn = (detail: string): Outcome => ({ ok: true, warning: true, detail: `warning: ${detail}` });

/** Runs every check of a table, in order. */
export function runChecks<Seen>(checks: readonly Check<Seen>[], seen: Seen): CheckResult[] {
  return checks.flatMap(([name, , run]) => {
    const outcome = run(seen);
    return outcome ? [{ name, ...outcome }] : [];
  });
}

/** A value from outside for a `detail`: short, and `nothing` when it is absent. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
