/** The visitor's country as a trusted proxy tells it, for `ccode`. Left out when unknown rather than guessed (docs/apple-facts.md §9). */

import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';

/** ISO 3166-1 alpha-2 in upper case, or undefined. */
export type CountryOf = (request: FastifyRequest) => string | undefined;

const regions = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' });

/** Codes that name no country but "unknown", Tor and such, in the headers of CDNs. */
const NO_COUNTRY = new Set(['XX', 'ZZ', 'EU', 'AP', 'UN']);

/** Takes the name of the header and the proxies that may set it (addresses and CIDR ranges). */
export function countryFrom(header: string | undefined, proxies: readonly string[]): CountryOf {
  if (header === undefined) return () => undefined;
  const trusted = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (prefix === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(prefix), family);
  }
  return (request) => {
    const peer = request.socket.remoteAddress ?? '';
    if (!trusted.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4')) return undefined;
    const code = String(request.headers[header] ?? '').toUpperCase();
    return /^[A-Z]{2}$/.test(code) && !NO_COUNTRY.has(code) && regions.of(code) !== undefined ? code : undefined;
  };
}
