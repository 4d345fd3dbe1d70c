/**
 * Reads the visitor's country for `ccode` from the header of a trusted proxy. An unknown country is omitted, never
 * guessed (docs/apple-facts.md §9).
 */

import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { isCountryCode } from '../install-token/country-codes.ts';

/** Returns the country as ISO 3166-1 alpha-2 in upper case, or undefined. */
export type CountryOf = (request: FastifyRequest) => string | undefined;

/** `header` is the header's name in lower case. `proxies` are the addresses and CIDR ranges that may set it. */
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
    return isCountryCode(code) ? code : undefined;
  };
}
