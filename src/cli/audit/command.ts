/** The command line of `webdist audit`. */

import { Command } from 'commander';

const work = () => import('./run.ts');
const FILES = 'files with audit lines, such as those of all replicas (default: the file of WEBDIST_AUDIT)';

export function auditCommand(): Command {
  return new Command('audit')
    .description('check the audit log, and find tokens in it')
    .addCommand(
      new Command('verify')
        .description('check that no line was changed, removed or inserted, in all chains of the files together')
        .argument('[files...]', FILES)
        .option(
          '--head <hash>',
          'check that one of the lines has this hash, which is from an earlier log event audit_head',
        )
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist audit verify audit.jsonl audit.jsonl.1')
        .action(async (given, options) => (await work()).verifyAudit(given, options)),
    )
    .addCommand(
      new Command('find')
        .description('find a token that was issued here; print its line')
        .argument('<nonce>', 'the nonce of the token')
        .argument('[files...]', FILES)
        .option('--json', 'print JSON (this is also the default)')
        .action(async (nonce, given) => (await work()).findToken(nonce, given)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist audit find DD03CFE2-597C-4D1B-8770-DA880BDC8AC9');
}
