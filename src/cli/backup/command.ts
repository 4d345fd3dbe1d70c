/** The command line of `webdist backup`. */

import { Command } from 'commander';
import { addDryRun } from '../change-options.ts';

const work = () => import('./run.ts');

export const backupCommand = (): Command =>
  addDryRun(
    new Command('backup')
      .description(
        'back up the ledger, its secret, the key ids, the orders and the audit log; services can continue to run',
      )
      .requiredOption('--out <file>', 'write the backup to this new file, mode 0600; never overwrites. "-" is stdout')
      .option('--with-keys', 'include the files of the data folder that contain private keys')
      .option('--json', 'print JSON'),
  )
    .addHelpText('after', '\nExample:\n  $ webdist backup --out webdist.backup')
    .action(async (options) => (await work()).backup(options));
