/**
 * Reads the visitor's country for `ccode` from the header of a trusted proxy. An unknown country is omitted, never
 * guessed (docs/apple-facts.md §9).
 */

import type { FastifyRequest } from 'fastify';
import { proxiesIn } from '../address.ts';
import { isCountryCode } from '../install-token/country-codes.ts';

/** Returns the country as ISO 3166-1 alpha-2 in upper case, or undefined. */
export type CountryOf = (request: FastifyRequest) => string | undefined;

/** `header` is the header's name in lower case. `proxies` are the addresses and CIDR ranges that may set it. */
export function countryFrom(header: string | undefined, proxies: readonly string[]): CountryOf {
  if (header === undefined) return () => undefined;
  const isProxy = proxiesIn(proxies);
  return (request) => {
    if (!isProxy(request.socket.remoteAddress ?? '')) return undefined;
    const text = String(request.headers[header] ?? '');
    // Only of ASCII letters, because the upper case of ß is SS, the code of South Sudan.
    const code = /^[a-z]{2}$/i.test(text) ? text.toUpperCase() : undefined;
    return isCountryCode(code) ? code : undefined;
  };
}
