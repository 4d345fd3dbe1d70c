/** The command line of `webdist config`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function configCommand(): Command {
  return new Command('config')
    .description('the settings of this environment; starts nothing and calls no server')
    .addCommand(
      new Command('check')
        .description('read the settings and report what is wrong; exits 1 when something is')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).checkConfig(options)),
    )
    .addCommand(
      new Command('print')
        .description('print the effective settings and the apps, each with its source, secrets masked')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).printConfig(options)),
    )
    .addHelpText('after', '\nExamples:\n  $ webdist config check\n  $ webdist config print --json');
}
