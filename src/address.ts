/** A visitor's address, for limits and staged releases: found behind trusted proxies, and normalized. */

import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net';

/** How a request arrived: the address of its connection, and the header fields that proxies added. */
type Route = {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: IncomingHttpHeaders;
};

/** The address that a request came from, as `networkOf` writes it. */
export type AddressOf = (request: Route) => string;

const GROUPS = 8;
const GROUPS_OF_NETWORK = 4;

/**
 * Returns an IPv4 address, even one that is mapped into IPv6 (RFC 4291 §2.5.5.2), in its usual form. Returns the /64
 * network of an IPv6 address, such as `2001:db8:0:0`, because a visitor can choose freely among the addresses of a /64
 * (RFC 6177 §2).
 */
export function networkOf(address: string): string {
  if (!address.includes(':') || !isIPv6(address)) return address;
  const canonical = new SocketAddress({ address: address.replace(/%.*/, ''), family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/.exec(canonical)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = [], tail = []] = canonical.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const zeros = Array<string>(Math.max(0, GROUPS - head.length - tail.length)).fill('0');
  return [...head, ...zeros, ...tail].slice(0, GROUPS_OF_NETWORK).join(':');
}

/** Whether a connection comes from one of the proxies, given as addresses and CIDR ranges. */
export function proxiesIn(proxies: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return (address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/**
 * Follows `X-Forwarded-For` from its end as long as the addresses are trusted proxies. Entries before the first other
 * address may have been written by a visitor. An entry that is not an address ends the search at the proxy that wrote it.
 */
export function addressesBehind(proxies: readonly string[]): AddressOf {
  if (proxies.length === 0) return ({ socket }) => networkOf(socket.remoteAddress ?? '');
  const isProxy = proxiesIn(proxies);
  return ({ socket, headers }) => {
    let address = socket.remoteAddress ?? '';
    const forwarded = String(headers['x-forwarded-for'] ?? '').split(',');
    while (forwarded.length > 0 && isProxy(address)) {
      const before = bareAddress(forwarded.pop() ?? '');
      if (before === undefined) break;
      address = before;
    }
    return networkOf(address);
  };
}

/**
 * Removes the port that some proxies add (`203.0.113.7:40001`, `[2001:db8::1]:443`), because it does not identify a
 * visitor.
 */
function bareAddress(entry: string): string | undefined {
  const text = entry.trim().replace(/^"(.*)"$/, '$1');
  const withPort = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d*)?$/.exec(text);
  const address = withPort?.[1] ?? withPort?.[2] ?? text;
  return isIP(address) === 0 ? undefined : address;
}
