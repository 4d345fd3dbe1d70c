/** `webdist domains`: manages the alternative distribution domains at App Store Connect (docs/apple-facts.md §4.5). */

import { domainToASCII } from 'node:url';
import type { RegisteredDomain } from '../../app-store-connect/resources.ts';
import { WebdistError } from '../../errors.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { type ChangeOptions, confirm, goesOn } from '../change.ts';
import { type JsonOption, print, say, table } from '../terminal.ts';

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

export async function addDomain(name: string, options: ChangeOptions & { readonly name?: string }): Promise<void> {
  const domain = domainToASCII(name);
  if (!domain.includes('.') || domain.endsWith('.') || /[/:@\s]/.test(name))
    throw new WebdistError('usage_invalid', `"${name}" is not a bare domain.`, {
      hint: 'Give a domain such as example.com, without scheme, port or path.',
    });
  const referenceName = options.name ?? `webdist ${domain}`;
  const found = await withAppStoreConnect('Registering the domain', async (asc) => {
    const existing = (await asc.listDomains()).find((one) => one.domain === domain);
    if (existing) return { registered: existing, isNew: false };
    if (!(await goesOn({ action: `register the domain ${domain}` }, options))) return undefined;
    return { registered: await asc.addDomain({ domain, referenceName }), isNew: true };
  });
  if (!found) return;
  if (!found.isNew) say(`${domain} is already registered; nothing was changed.`);
  printDomain(found.registered, options.json);
}

export async function removeDomain(id: string, options: ChangeOptions): Promise<void> {
  const { domain } = await withAppStoreConnect('Fetching the domain', (asc) => asc.readDomain(id));
  const effect = 'Apps can then no longer be installed from it.';
  if (!(await confirm({ action: `remove the domain ${domain} (${id})`, effect }, options))) return;
  await withAppStoreConnect('Removing the domain', (asc) => asc.removeDomain(id));
  print({ removed: id, domain }, options.json, [`removed  ${id}  ${domain}`]);
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
