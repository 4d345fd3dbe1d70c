/** What is said on the command line for `webdist token`; `../token.ts` does it, loaded when it is called. */

import { Command, Option } from 'commander';

const work = () => import('./run.ts');

export function tokenCommand(): Command {
  return new Command('token')
    .description('install verification tokens')
    .addCommand(
      new Command('mint')
        .description('one install verification token, and its install URL')
        .option('--app <app>', 'bundle id or AppleItemID (default: the only app)')
        .option('--subject <id>', 'whom it is for: the ledger decides its dtype and remembers it')
        .addOption(new Option('--dtype <dtype>', 'instead of what the ledger says').choices(['download', 'redownload']))
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist token mint --app com.example.camping --subject customer-4711')
        .action(async (options) => (await work()).mint(options)),
    )
    .addCommand(
      new Command('verify')
        .description('what a device would say of a token; exit 1 if it is refused')
        .argument('<token>', 'the token; - reads stdin')
        .option('--key <file>', 'verify with the key in this PEM file')
        .option('--jwks <url>', 'verify with the keys of this JWK set')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist token mint | head -1 | webdist token verify -')
        .action(async (argument, options) => (await work()).verify(argument, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist token verify --jwks https://example.com/.well-known/jwks.json eyJ…');
}
