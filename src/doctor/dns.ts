/** Compares the DNS records of the page's host and of the service's host, as Safari does before it keeps a cookie. */

import { resolve4, resolve6, resolveCname } from 'node:dns/promises';

/** What DNS says about a host: the target of its CNAME, and its addresses. */
export type HostRecords = {
  readonly cname: string | undefined;
  readonly addresses: readonly string[];
};

/** Looks a host up. Never throws: records that cannot be resolved are absent from the result. */
export async function lookUp(host: string): Promise<HostRecords> {
  const none = () => [];
  const [cnames, ipv4, ipv6] = await Promise.all([
    resolveCname(host).catch(none),
    resolve4(host).catch(none),
    resolve6(host).catch(none),
  ]);
  return { cname: cnames[0]?.toLowerCase(), addresses: [...ipv4, ...ipv6] };
}

type Cost = { readonly days: string; readonly why: string };

/** Whether Safari shortens the life of a cookie, by WebKit's rule for hosts of one site (docs/apple-facts.md §13.2). */
export function shortened(pageHost: string, page: HostRecords, service: HostRecords): Cost | undefined {
  const seven = (why: string): Cost => ({ days: '7 days only', why });
  if (service.cname !== undefined) {
    const isOurs = [pageHost, page.cname].some((host) => host !== undefined && isSameSite(host, service.cname ?? ''));
    return isOurs
      ? undefined
      : seven(`is a CNAME for ${service.cname}, which is neither on your domain nor where the page is`);
  }
  if (page.addresses.length === 0 || service.addresses.length === 0) return undefined;
  const networks = new Set(page.addresses.map(networkOf));
  const near = service.addresses.filter((address) => networks.has(networkOf(address)));
  if (near.length === 0) return seven('has addresses in a different network than the page');
  const isOneNetwork = networks.size === 1 && near.length === service.addresses.length;
  // A device uses any of the addresses, so with several networks the lifetime is unpredictable.
  return isOneNetwork ? undefined : { days: 'between 7 and 400 days', why: 'shares only some networks with the page' };
}

/** The first 16 bits of an IPv4 address, or the first 64 bits of an IPv6 address. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address.split('.').slice(0, 2).join('.');
  const [start = '', end] = address.toLowerCase().split('::');
  const groups = start === '' ? [] : start.split(':');
  const tail = end === undefined || end === '' ? [] : end.split(':');
  const zeros = end === undefined ? [] : Array.from({ length: 8 - groups.length - tail.length }, () => '0');
  return [...groups, ...zeros, ...tail]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/**
 * Whether two hosts have the same registrable domain. Without the Public Suffix List, this is a guess: the last two labels,
 * or three if the last two look like a suffix such as co.uk.
 */
export function isSameSite(one: string, other: string): boolean {
  return registrable(one) === registrable(other);
}

function registrable(host: string): string {
  const labels = host.toLowerCase().replace(/\.$/, '').split('.');
  const isSuffix = /^(com?|net|org|gov|edu|ac|or|ne|go)\.[a-z]{2}$/.test(labels.slice(-2).join('.'));
  return labels.slice(isSuffix ? -3 : -2).join('.');
}
