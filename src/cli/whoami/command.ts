/** The command line of `webdist whoami`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function whoamiCommand(): Command {
  return new Command('whoami')
    .description('print the App Store Connect API key and what it has access to')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist whoami')
    .action(async (options) => (await work()).whoami(options));
}
