/** The type of a check of the simulated device, and the function that runs a table of checks. */

/** The result of a check. A warning is ok: a device would install, but the operator should examine it. */
export type Outcome = { readonly ok: boolean; readonly detail: string; readonly warning?: true };
/** `line` is the line of the rejection checklist (docs/apple-facts.md §10). */
export type CheckResult = { readonly name: string; readonly line: number } & Outcome;

/**
 * A check with its name and its line in the rejection checklist (docs/apple-facts.md §10). If its input is missing, it
 * returns undefined and does not appear in the verdict; another check reports the missing input.
 */
export type DeviceCheck<Input> = readonly [name: string, line: number, run: (input: Input) => Outcome | undefined];

export const pass = (detail: string): Outcome => ({ ok: true, detail });
export const fail = (detail: string): Outcome => ({ ok: false, detail });
export const warn = (detail: string): Outcome => ({ ok: true, warning: true, detail: `warning: ${detail}` });

/** Runs every check of a table, in order. */
export function runChecks<Input>(checks: readonly DeviceCheck<Input>[], input: Input): CheckResult[] {
  return checks.flatMap(([name, line, run]) => {
    const outcome = run(input);
    return outcome ? [{ name, line, ...outcome }] : [];
  });
}

/** Formats a value from outside for a `detail`, shortened; returns `nothing` if it is absent. */
export function quoted(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
