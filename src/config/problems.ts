/** What is wrong with a setting, and the one error that lists such problems. */

import { WebdistError } from '../errors.ts';

/** One problem or warning: the variable that it concerns, as the operator wrote it, and a message without its value. */
export type Problem = { readonly variable: string; readonly message: string };

/** Whether a problem concerns a setting, given as `NAME` or as `NAME_FILE`. */
export const concerns = ({ variable }: Problem, name: string): boolean =>
  variable === name || variable === `${name}_FILE`;

/** An error that lists every problem on a line of its own. `advice` stands after the count in the first line. */
export function configInvalid(problems: readonly Problem[], advice?: string): WebdistError {
  const count = problems.length === 1 ? 'One setting is' : `${problems.length} settings are`;
  const lines = problems.map(({ variable, message }) => `\n  ${variable}: ${message}`).join('');
  return new WebdistError('config_invalid', `${count} wrong${advice ? ` (${advice})` : ''}:${lines}`);
}
