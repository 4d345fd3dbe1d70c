/** The command line of `webdist domains`. */

import { Command } from 'commander';
import { addConfirmation, addDryRun } from '../change-options.ts';

const work = () => import('./run.ts');

export function domainsCommand(): Command {
  return new Command('domains')
    .description('alternative distribution domains at App Store Connect, for all apps of the account')
    .addCommand(
      new Command('list')
        .description('list the domains')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains list')
        .action(async (options) => (await work()).listDomains(options)),
    )
    .addCommand(
      new Command('show')
        .description('print one domain')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains show 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(async (id, options) => (await work()).showDomain(id, options)),
    )
    .addCommand(
      addDryRun(new Command('add'))
        .description('register a domain; this covers its subdomains')
        .argument('<domain>', 'a bare domain, such as example.com')
        .option('--name <text>', 'reference name at App Store Connect (default: "webdist" and the domain)')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains add example.com')
        .action(async (name, options) => (await work()).addDomain(name, options)),
    )
    .addCommand(
      addConfirmation(new Command('remove'))
        .description('delete a domain at App Store Connect; apps can then no longer be installed from it')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains remove 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(async (id, options) => (await work()).removeDomain(id, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist domains list');
}
