/** The command line of `webdist restore`. */

import { Command } from 'commander';
import { addConfirmation } from '../change-options.ts';

const work = () => import('./run.ts');

export const restoreCommand = (): Command =>
  addConfirmation(
    new Command('restore')
      .description('restore a backup; asks before it merges the backup with existing data')
      .argument('<file>', 'a file that webdist backup wrote')
      .option('--json', 'print JSON'),
  )
    .addHelpText('after', '\nExample:\n  $ webdist restore webdist.backup --dry-run')
    .action(async (file, options) => (await work()).restoreBackup(file, options));
