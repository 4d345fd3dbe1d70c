/** `webdist domains`: the alternative distribution domains at App Store Connect (apple-facts §4.5). */

import { domainToASCII } from 'node:url';
import { Command } from 'commander';
import type { RegisteredDomain } from '../app-store-connect/resources.ts';
import { WebdistError } from '../errors.ts';
import { withAppStoreConnect } from './apple.ts';
import { agree, type JsonOption, print, table } from './terminal.ts';

export function domainsCommand(): Command {
  return new Command('domains')
    .description('alternative distribution domains at App Store Connect, good for all apps of the account')
    .addCommand(
      new Command('list')
        .description('every domain')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains list')
        .action(listDomains),
    )
    .addCommand(
      new Command('show')
        .description('one domain')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains show 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(showDomain),
    )
    .addCommand(
      new Command('add')
        .description('register a domain; its subdomains are covered')
        .argument('<domain>', 'a bare host name such as example.com')
        .option('--name <text>', 'reference name for people (default: webdist and the domain)')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains add example.com')
        .action(addDomain),
    )
    .addCommand(
      new Command('remove')
        .description('delete a domain at App Store Connect: nothing installs from it any more')
        .argument('<id>', 'id of the domain at App Store Connect')
        .option('--yes', 'do not ask')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist domains remove 5a1d3f0e-94ab-4a53-8d6e-2f0c9c1e7b44')
        .action(removeDomain),
    )
    .addHelpText('after', '\nExample:\n  $ webdist domains list');
}

async function listDomains({ json }: JsonOption): Promise<void> {
  const domains = await withAppStoreConnect('Asking for domains', (asc) => asc.listDomains());
  const rows = domains.map(({ id, domain, referenceName, createdDate }) => [id, domain, createdDate, referenceName]);
  print(
    domains.map(described),
    json,
    rows.length === 0 ? ['No domains are registered.'] : table(['ID', 'DOMAIN', 'CREATED', 'NAME'], rows),
  );
}

async function showDomain(id: string, { json }: JsonOption): Promise<void> {
  printDomain(await withAppStoreConnect('Asking for the domain', (asc) => asc.readDomain(id)), json);
}

async function addDomain(name: string, options: JsonOption & { readonly name?: string }): Promise<void> {
  const domain = domainToASCII(name);
  if (!domain.includes('.') || domain.endsWith('.') || /[/:@\s]/.test(name))
    throw new WebdistError('usage_invalid', `"${name}" is not a bare domain.`, {
      mend: 'Give a host name such as example.com: no scheme, port or path.',
    });
  const referenceName = options.name ?? `webdist ${domain}`;
  const added = await withAppStoreConnect('Registering the domain', (asc) => asc.addDomain({ domain, referenceName }));
  printDomain(added, options.json);
}

async function removeDomain(id: string, { yes, json }: JsonOption & { readonly yes?: boolean }): Promise<void> {
  const { domain } = await withAppStoreConnect('Asking for the domain', (asc) => asc.readDomain(id));
  await agree(`Remove the domain ${domain} (${id})? Nothing installs from it any more.`, yes);
  await withAppStoreConnect('Removing the domain', (asc) => asc.removeDomain(id));
  print({ removed: id, domain }, json, [`removed  ${id}  ${domain}`]);
}

const described = ({ id, domain, referenceName, createdDate }: RegisteredDomain) => ({
  id,
  domain,
  referenceName: referenceName ?? null,
  createdDate: createdDate ?? null,
});

const printDomain = (found: RegisteredDomain, json: boolean | undefined) =>
  print(described(found), json, [
    `id       ${found.id}`,
    `domain   ${found.domain}`,
    `created  ${found.createdDate ?? ''}`.trimEnd(),
    `name     ${found.referenceName ?? ''}`.trimEnd(),
  ]);
