/** The command line of `webdist token`. */

import { Command, Option } from 'commander';
import { webAddress } from '../option-values.ts';

const work = () => import('./run.ts');

export function tokenCommand(): Command {
  return new Command('token')
    .description('install verification tokens')
    .addCommand(
      new Command('mint')
        .description('issue one install verification token; print it and its install URL')
        .option('--app <app>', 'bundle id or AppleItemID (default: the only app)')
        .option('--subject <id>', 'the subject; the ledger decides the dtype')
        .addOption(
          new Option('--dtype <dtype>', 'use this dtype instead of the ledger’s').choices(['download', 'redownload']),
        )
        .option('--json', 'print JSON')
        .addHelpText(
          'after',
          '\nThe first line is the token. The second line is the install URL, for the href of\na link; it is missing if the app has no package URL.',
        )
        .addHelpText('after', '\nExample:\n  $ webdist token mint --app com.example.camping --subject customer-4711')
        .action(async (options) => (await work()).mintToken(options)),
    )
    .addCommand(
      new Command('verify')
        .description('judge a token as a device would, and report whether it was issued here; exit 1 if it is refused')
        .argument(
          '<token>',
          'the token; or its nonce, to check only whether it was issued here; or - to read from stdin',
        )
        .option('--key <file>', 'verify with the key in this PEM file')
        .option('--jwks <url>', 'verify with the keys of this JWK set', webAddress)
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist token mint | head -1 | webdist token verify -')
        .action(async (argument, options) => (await work()).verifyToken(argument, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist token verify --jwks https://example.com/.well-known/jwks.json eyJ…');
}
