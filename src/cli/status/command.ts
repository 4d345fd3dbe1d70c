/** The command line of `webdist status`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export const statusCommand = (): Command =>
  new Command('status')
    .description('list the running services, and the orders that they follow')
    .option('--watch', 'print it again every second')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist status --watch')
    .action(async (options) => (await work()).showStatus(options));
