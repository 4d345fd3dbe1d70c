/** Prints the history of a failing run: the settings, the steps that are needed for the failure, and the events. */

import type { Outcome } from './run.ts';
import { describeStep, type Step } from './steps.ts';

/** At most this many events are printed: the last ones. */
const LINES = 60;

export function storyOf({ plan, outcome }: { plan: readonly Step[]; outcome: Outcome }, stepsBefore: number): string {
  const [settings = ''] = outcome.trace;
  const shown = outcome.trace.slice(1).slice(-LINES);
  const left = outcome.trace.length - 1 - shown.length;
  return [
    '',
    `The shortest history found has ${plan.length} of ${stepsBefore} steps:`,
    ...plan.map((step) => `  ${(step.atMs / 1000 + 4).toFixed(3).padStart(9)} s  ${describeStep(step)}`),
    '',
    `With these settings: ${settings.replace(/^.*settings: /, '')}`,
    ...(left > 0 ? [`  (${left} lines before these)`] : []),
    ...shown,
    '',
  ].join('\n');
}
