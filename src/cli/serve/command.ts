/** The command line of `webdist serve`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function serveCommand(): Command {
  return new Command('serve')
    .description('start the service (in sandbox mode if no app is configured)')
    .addHelpText('after', '\nExample:\n  $ WEBDIST_CONFIG=webdist.yaml webdist serve')
    .action(async () => (await work()).serve());
}
