/** Normalizes a visitor's address, for rate limits and staged releases. */

import { isIPv6, SocketAddress } from 'node:net';
import type { FastifyRequest } from 'fastify';

const GROUPS = 8;
const GROUPS_OF_NETWORK = 4;

/**
 * Returns an IPv4 address unchanged, also if it is mapped into IPv6 (RFC 4291 §2.5.5.2). Returns the /64 network of an
 * IPv6 address, such as `2001:db8:0:0`, because a visitor can choose freely among the addresses of a /64 (RFC 6177 §2).
 */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const canonical = new SocketAddress({ address: address.replace(/%.*/, ''), family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/.exec(canonical)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = [], tail = []] = canonical.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const zeros = Array<string>(Math.max(0, GROUPS - head.length - tail.length)).fill('0');
  return [...head, ...zeros, ...tail].slice(0, GROUPS_OF_NETWORK).join(':');
}

/** Returns the normalized address of the visitor; trusted proxies may report it. */
export const addressOf = ({ ip }: FastifyRequest): string => networkOf(ip);
