/** The command line of `webdist ledger`. */

import { Command } from 'commander';
import { addDryRun } from '../change-options.ts';

const work = () => import('./run.ts');

export function ledgerCommand(): Command {
  const subjectCommand = (name: string, description: string) =>
    new Command(name)
      .description(description)
      .argument('<subject>', 'the id that your server sent as subject, or with --device the id of the device')
      .option(
        '--device',
        'SUBJECT is the value of the cookie webdist_device, or the id that your server sent as device',
      )
      .option('--json', 'print JSON');
  return new Command('ledger')
    .description('show, export and delete the installs in the ledger')
    .addCommand(
      subjectCommand('export', 'print the installs of one subject').action(async (id, options) =>
        (await work()).exportSubject(id, options),
      ),
    )
    .addCommand(
      addDryRun(subjectCommand('forget', 'delete the installs of one subject')).action(async (id, options) =>
        (await work()).forgetSubject(id, options),
      ),
    )
    .addCommand(
      new Command('stats')
        .description('print how many installs the ledger holds')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).showStats(options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist ledger export --json customer-4711');
}
