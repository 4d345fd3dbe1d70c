/**
 * For commands that change something: the confirmation before the change, and `--dry-run`, which only describes the
 * change.
 */

import { WebdistError } from '../errors.ts';
import { ask, isInteractive, type JsonOption, nothingChanged, print } from './terminal.ts';

/** The options that `change-options.ts` declares. */
export type ChangeOptions = JsonOption & { readonly dryRun?: boolean; readonly yes?: boolean };

/** A change in words. `action` begins with a verb ("remove the key 4711"); `effect` is a sentence. */
export type PlannedChange = { readonly action: string; readonly effect?: string };

/**
 * Returns whether to make the change. With `--dry-run`, prints the change and returns false. Otherwise records the
 * command in the audit log.
 */
export async function goesOn({ action, effect }: PlannedChange, { dryRun, json }: ChangeOptions): Promise<boolean> {
  if (dryRun) print({ dryRun: true, would: action }, json, [`Would ${action}.${effect ? ` ${effect}` : ''}`]);
  else await (await import('./record-command.ts')).recordCommand(action);
  return dryRun !== true;
}

/**
 * The same for a change that can do harm: asks for confirmation, or `--yes` confirms in advance. Throws `usage_invalid` if
 * there is no terminal, and `forbidden` after Ctrl-C and any answer other than yes.
 */
export async function confirm(change: PlannedChange, options: ChangeOptions): Promise<boolean> {
  if (options.dryRun || options.yes) return goesOn(change, options);
  const { action, effect } = change;
  const question = `${action.charAt(0).toUpperCase()}${action.slice(1)}?${effect ? ` ${effect}` : ''}`;
  if (!isInteractive())
    throw new WebdistError('usage_invalid', `This needs confirmation: ${question}`, {
      hint: 'Use --yes when there is no terminal.',
    });
  if (!/^y(es)?$/i.test((await ask(`${question} [y/N] `)) ?? '')) throw nothingChanged();
  return goesOn(change, options);
}
