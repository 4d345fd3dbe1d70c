/** The type of a problem with a setting, and the error that lists such problems. */

import { WebdistError } from '../errors.ts';

/**
 * One problem or warning: the variable's name as the operator wrote it, and a message that does not contain the value.
 */
export type Problem = { readonly variable: string; readonly message: string };

/** Whether a problem concerns a setting, which the operator may have given as `NAME` or as `NAME_FILE`. */
export const concerns = ({ variable }: Problem, name: string): boolean =>
  variable === name || variable === `${name}_FILE`;

/** Returns the problems, each with the variable that gave the setting: `NAME` or `NAME_FILE`. */
export const asGiven = (problems: readonly Problem[], given: ReadonlyMap<string, string>): readonly Problem[] =>
  problems.map(({ variable, message }) => ({ variable: given.get(variable) ?? variable, message }));

/** Returns the error, which lists each problem on its own line. `advice` follows the count in the first line. */
export function configInvalid(problems: readonly Problem[], advice?: string): WebdistError {
  const count = problems.length === 1 ? 'One setting is' : `${problems.length} settings are`;
  const lines = problems.map(({ variable, message }) => `\n  ${variable}: ${message}`).join('');
  return new WebdistError('config_invalid', `${count} wrong${advice ? ` (${advice})` : ''}:${lines}`);
}

/** Returns the error for a start in production mode without any app: two lines, one for each way to continue. */
export const nothingConfigured = (): WebdistError =>
  new WebdistError(
    'config_invalid',
    'No app is configured. For the demo, set WEBDIST_MODE=sandbox: docker run --rm -p 8080:8080 -e WEBDIST_MODE=sandbox webdist\n' +
      '  For production, `webdist init` asks for WEBDIST_DOMAIN, WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_KEY and ASC_…, and writes them.',
  );
