/** `webdist domains`: manages the alternative distribution domains at App Store Connect (docs/apple-facts.md §4.5). */

import { domainToASCII } from 'node:url';
import type { RegisteredDomain } from '../../app-store-connect/resources.ts';
import { WebdistError } from '../../errors.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { confirm, type JsonOption, print, say, table } from '../terminal.ts';

export async function listDomains({ json }: JsonOption): Promise<void> {
  const domains = await withAppStoreConnect('Fetching the domains', (asc) => asc.listDomains());
  const rows = domains.map(({ id, domain, referenceName, createdDate }) => [id, domain, createdDate, referenceName]);
  print(
    domains.map(described),
    json,
    rows.length === 0 ? ['No domains are registered.'] : table(['ID', 'DOMAIN', 'CREATED', 'NAME'], rows),
  );
}

export async function showDomain(id: string, { json }: JsonOption): Promise<void> {
  printDomain(await withAppStoreConnect('Fetching the domain', (asc) => asc.readDomain(id)), json);
}

export async function addDomain(name: string, options: JsonOption & { readonly name?: string }): Promise<void> {
  const domain = domainToASCII(name);
  if (!domain.includes('.') || domain.endsWith('.') || /[/:@\s]/.test(name))
    throw new WebdistError('usage_invalid', `"${name}" is not a bare domain.`, {
      hint: 'Give a domain such as example.com, without scheme, port or path.',
    });
  const referenceName = options.name ?? `webdist ${domain}`;
  const { registered, isNew } = await withAppStoreConnect('Registering the domain', async (asc) => {
    const existing = (await asc.listDomains()).find((one) => one.domain === domain);
    return existing
      ? { registered: existing, isNew: false }
      : { registered: await asc.addDomain({ domain, referenceName }), isNew: true };
  });
  if (!isNew) say(`${domain} is already registered; nothing was changed.`);
  printDomain(registered, options.json);
}

export async function removeDomain(id: string, { yes, json }: JsonOption & { readonly yes?: boolean }): Promise<void> {
  const { domain } = await withAppStoreConnect('Fetching the domain', (asc) => asc.readDomain(id));
  await confirm(`Remove the domain ${domain} (${id})? Apps can then no longer be installed from it.`, yes);
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
