/** The command line of `webdist keygen`. The work is in `run.ts`, which is loaded when the command runs. */

import { Command } from 'commander';
import { CREATABLE_SCHEMES } from '../../locators.ts';

const work = () => import('./run.ts');

export function keygenCommand(): Command {
  return new Command('keygen')
    .description('create a distribution key (ECDSA P-256), and print its public half')
    .option(
      '--out <file>',
      'write the private key to this new file: PKCS#8 PEM, mode 0600; never overwrites (distribution-key.pem)',
    )
    .option('--in <locator>', `create the key in this backend: ${CREATABLE_SCHEMES.join(', ')}`)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ webdist keygen --out camping.pem > camping.pub.pem\n  $ webdist keygen --in hashivault://camping',
    )
    .action(async (options) => (await work()).keygen(options));
}
