/** What is said on the command line for `webdist domains`; `../domains.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function domainsCommand(): Command {
  return new Command('domains')
    .description('alternative distribution domains at App Store Connect, good for all apps of the account')
    .addCommand(
      new Command('list')
        .description('every domain')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains list')
        .action(async (options) => (await work()).listDomains(options)),
    )
    .addCommand(
      new Command('show')
        .description('one domain')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains show 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(async (id, options) => (await work()).showDomain(id, options)),
    )
    .addCommand(
      new Command('add')
        .description('register a domain; its subdomains are covered')
        .argument('<domain>', 'a bare host name such as example.com')
        .option('--name <text>', 'reference name for people (default: webdist and the domain)')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains add example.com')
        .action(async (name, options) => (await work()).addDomain(name, options)),
    )
    .addCommand(
      new Command('remove')
        .description('delete a domain at App Store Connect: nothing installs from it any more')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--yes', 'do not ask')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains remove 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(async (id, options) => (await work()).removeDomain(id, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist domains list');
}
