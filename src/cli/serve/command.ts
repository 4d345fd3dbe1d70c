/** What is said on the command line for `webdist serve`; `../serve.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function serveCommand(): Command {
  return new Command('serve')
    .description('start the service (with nothing configured: sandbox mode)')
    .addHelpText('after', '\nExample:\n  $ WEBDIST_CONFIG=webdist.yaml webdist serve')
    .action(async () => (await work()).serve());
}
