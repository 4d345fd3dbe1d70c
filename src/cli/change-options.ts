/** The options of commands that change something; `change.ts` acts on them. */

import type { Command } from 'commander';

export const addDryRun = (command: Command): Command =>
  command.option('--dry-run', 'print what the command would do, and do nothing');

/** For changes that can do harm. */
export const addConfirmation = (command: Command): Command =>
  addDryRun(command).option('--yes', 'do not ask for confirmation');
