/** What is said on the command line for `webdist ledger`; `../ledger.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function ledgerCommand(): Command {
  const subjectCommand = (name: string, description: string) =>
    new Command(name)
      .description(description)
      .argument('<subject>', "the id your server gave as subject; with --device a device's id")
      .option('--device', 'SUBJECT is the value of the cookie webdist_device')
      .option('--json', 'print JSON');
  return new Command('ledger')
    .description('show, export and forget what the ledger remembers')
    .addCommand(
      subjectCommand('export', 'everything remembered of one subject').action(async (id, options) =>
        (await work()).exportSubject(id, options),
      ),
    )
    .addCommand(
      subjectCommand('forget', 'delete everything about one subject').action(async (id, options) =>
        (await work()).forgetSubject(id, options),
      ),
    )
    .addCommand(
      new Command('stats')
        .description('how much the ledger holds')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).showStats(options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist ledger export --json customer-4711');
}
