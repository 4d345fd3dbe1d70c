/** `webdist domains`: the alternative distribution domains at App Store Connect (docs/apple-facts.md §4.5). */

import { domainToASCII } from 'node:url';
import type { RegisteredDomain } from '../../app-store-connect/resources.ts';
import { WebdistError } from '../../errors.ts';
import { withAppStoreConnect } from '../apple.ts';
import { agree, type JsonOption, print, table } from '../terminal.ts';

export async function listDomains({ json }: JsonOption): Promise<void> {
  const domains = await withAppStoreConnect('Asking for domains', (asc) => asc.listDomains());
  const rows = domains.map(({ id, domain, referenceName, createdDate }) => [id, domain, createdDate, referenceName]);
  print(
    domains.map(described),
    json,
    rows.length === 0 ? ['No domains are registered.'] : table(['ID', 'DOMAIN', 'CREATED', 'NAME'], rows),
  );
}

export async function showDomain(id: string, { json }: JsonOption): Promise<void> {
  printDomain(await withAppStoreConnect('Asking for the domain', (asc) => asc.readDomain(id)), json);
}

export async function addDomain(name: string, options: JsonOption & { readonly name?: string }): Promise<void> {
  const domain = domainToASCII(name);
  if (!domain.includes('.') || domain.endsWith('.') || /[/:@\s]/.test(name))
    throw new WebdistError('usage_invalid', `"${name}" is not a bare domain.`, {
      hint: 'Give a host name such as example.com: no scheme, port or path.',
    });
  const referenceName = options.name ?? `webdist ${domain}`;
  const added = await withAppStoreConnect('Registering the domain', (asc) => asc.addDomain({ domain, referenceName }));
  printDomain(added, options.json);
}

export async function removeDomain(id: string, { yes, json }: JsonOption & { readonly yes?: boolean }): Promise<void> {
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
