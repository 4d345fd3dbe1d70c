/** What is said on the command line for `webdist audit`; `../audit.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function auditCommand(): Command {
  return new Command('audit')
    .description('check the audit file of issued tokens, and find tokens in it')
    .addCommand(
      new Command('verify')
        .description('check that no line was changed, taken out or put in')
        .argument('[file]', 'audit file (default: WEBDIST_AUDIT)')
        .option('--head <hash>', 'a hash that some line must have, as the log said earlier (event audit_head)')
        .option('--json', 'print JSON')
        .action(async (given, options) => (await work()).verify(given, options)),
    )
    .addCommand(
      new Command('find')
        .description('was this token issued here? prints its line')
        .argument('<nonce>', 'the nonce of the token')
        .argument('[file]', 'audit file (default: WEBDIST_AUDIT)')
        .action(async (nonce, given) => (await work()).find(nonce, given)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist audit find DD03CFE2-597C-4D1B-8770-DA880BDC8AC9');
}
