/** The command line of `webdist serve`. */

import { Command } from 'commander';
import { takeSignals } from './signals.ts';

const work = () => import('./run.ts');

export function serveCommand(): Command {
  return new Command('serve')
    .description('start the service (in sandbox mode if no app is configured)')
    .addHelpText('after', '\nExample:\n  $ WEBDIST_CONFIG=webdist.yaml webdist serve')
    .action(async () => {
      // Runs before the rest is loaded, which takes the longest. From here on, a SIGHUP no longer ends the process.
      const signals = takeSignals();
      await (await work()).serve(signals);
    });
}
