/** What is said on the command line for `webdist doctor`; `../doctor.ts` does it, loaded when it is called. */

import { Command } from 'commander';
import { webAddress } from '../values.ts';

const work = () => import('./run.ts');

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check everything an install depends on; exit 1 if something fails')
    .option('--public <url>', 'also look from outside: the page with the install link', webAddress)
    .option('--service <url>', 'where webdist is reached from outside (default: the origin of --public)', webAddress)
    .option('--connect <host:port>', "for the website's names connect there instead of where DNS leads")
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist doctor --public https://example.com/camping')
    .action(async (options) => (await work()).doctor(options));
}
