/** The type of a problem with a setting, and the error that lists such problems. */

import { WebdistError } from '../errors.ts';

/**
 * One problem or warning: the variable's name as the operator wrote it, and a message that does not contain the value.
 */
export type Problem = { readonly variable: string; readonly message: string };

/** Whether a problem concerns a setting, which the operator may have given as `NAME` or as `NAME_FILE`. */
export const concerns = ({ variable }: Problem, name: string): boolean =>
  variable === name || variable === `${name}_FILE`;

/** Returns the error, which lists each problem on its own line. `advice` follows the count in the first line. */
export function configInvalid(problems: readonly Problem[], advice?: string): WebdistError {
  const count = problems.length === 1 ? 'One setting is' : `${problems.length} settings are`;
  const lines = problems.map(({ variable, message }) => `\n  ${variable}: ${message}`).join('');
  return new WebdistError('config_invalid', `${count} wrong${advice ? ` (${advice})` : ''}:${lines}`);
}
