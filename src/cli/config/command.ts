/** The command line of `webdist config`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function configCommand(): Command {
  return new Command('config')
    .description(
      'check or print the settings of this environment, without starting anything, opening a key or calling a server',
    )
    .addCommand(
      new Command('check')
        .description(
          'read the settings and report each problem; exit 1 if there is one. `webdist doctor` also opens the keys and calls the servers',
        )
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).checkConfig(options)),
    )
    .addCommand(
      new Command('print')
        .description('print the effective settings and the apps, each with its source; secrets are masked')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).printConfig(options)),
    )
    .addCommand(
      new Command('schema')
        .description('print the JSON Schema of the file of WEBDIST_CONFIG, for editors')
        .action(async () => (await work()).printSchema()),
    )
    .addHelpText('after', '\nExamples:\n  $ webdist config check\n  $ webdist config print --json');
}
