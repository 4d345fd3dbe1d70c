/** The command line of `webdist audit`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function auditCommand(): Command {
  return new Command('audit')
    .description('check the audit file of issued tokens, and find tokens in it')
    .addCommand(
      new Command('verify')
        .description('check that no line was changed, removed or inserted')
        .argument('[file]', 'audit file (default: WEBDIST_AUDIT)')
        .option('--head <hash>', 'check that some line has this hash, taken from an earlier log event audit_head')
        .option('--json', 'print JSON')
        .action(async (given, options) => (await work()).verifyAudit(given, options)),
    )
    .addCommand(
      new Command('find')
        .description('find a token that was issued here; print its line')
        .argument('<nonce>', 'the nonce of the token')
        .argument('[file]', 'audit file (default: WEBDIST_AUDIT)')
        .option('--json', 'print JSON, as without this option')
        .action(async (nonce, given) => (await work()).findToken(nonce, given)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist audit find DD03CFE2-597C-4D1B-8770-DA880BDC8AC9');
}
