/** For commands that change something: the question before the change, and `--dry-run`, which only describes it. */

import type { Command } from 'commander';
import { WebdistError } from '../errors.ts';
import { ask, isInteractive, type JsonOption, nothingChanged, print } from './terminal.ts';

/** The options that `addDryRun` and `addConfirmation` declare. */
export type ChangeOptions = JsonOption & { readonly dryRun?: boolean; readonly yes?: boolean };

/** A change in words. `action` begins with a verb ("remove the key 4711"); `effect` is a sentence. */
export type PlannedChange = { readonly action: string; readonly effect?: string };

export const addDryRun = (command: Command): Command =>
  command.option('--dry-run', 'print what the command would do, and do nothing');

/** For changes that can do harm. */
export const addConfirmation = (command: Command): Command =>
  addDryRun(command).option('--yes', 'do not ask for confirmation');

/** With `--dry-run`, prints what the command would do and returns true. The command then ends. */
export function isDryRun({ action, effect }: PlannedChange, { dryRun, json }: ChangeOptions): boolean {
  if (dryRun) print({ dryRun: true, would: action }, json, [`Would ${action}.${effect ? ` ${effect}` : ''}`]);
  return dryRun === true;
}

/**
 * Asks for confirmation; `--yes` confirms in advance. With `--dry-run`, does not ask but prints what would be done and
 * returns false. Throws `usage_invalid` if there is no terminal, and `forbidden` after any answer but yes and after
 * Ctrl-C.
 */
export async function confirm(change: PlannedChange, options: ChangeOptions): Promise<boolean> {
  if (isDryRun(change, options)) return false;
  if (options.yes) return true;
  const { action, effect } = change;
  const question = `${action.charAt(0).toUpperCase()}${action.slice(1)}?${effect ? ` ${effect}` : ''}`;
  if (!isInteractive())
    throw new WebdistError('usage_invalid', `This needs confirmation: ${question}`, {
      hint: 'Use --yes when there is no terminal.',
    });
  if (/^y(es)?$/i.test((await ask(`${question} [y/N] `)) ?? '')) return true;
  throw nothingChanged();
}
