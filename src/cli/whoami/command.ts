/** What is said on the command line for `webdist whoami`; `../whoami.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function whoamiCommand(): Command {
  return new Command('whoami')
    .description('what the App Store Connect API key is and can reach')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist whoami')
    .action(async (options) => (await work()).whoami(options));
}
