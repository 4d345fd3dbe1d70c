/** Hosts: whether one belongs to a domain or is this machine, how an address is written in a URL, and why nothing can listen on one. */

import type { AddressInfo } from 'node:net';
import { WebdistError } from './errors.ts';

/** True if the host of a URL is this machine: `localhost`, `127.0.0.0/8` or `[::1]` (RFC 6761 §6.3, RFC 6890). */
export const isLoopback = (hostname: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);

/**
 * True if a host is the domain or a subdomain of it. Apple's rule for the hosts of page and package under a registered
 * domain, as far as it is known (docs/apple-facts.md §2.3). Both are in lower case.
 */
export const isWithinDomain = (hostname: string, domain: string): boolean =>
  hostname === domain || hostname.endsWith(`.${domain}`);

/** Returns the URL at which this machine reaches a server that listens on an address, without a slash at the end. */
export function localUrl({ address, port }: AddressInfo): string {
  // `0.0.0.0` and `::` stand for every address, so the URL of a server cannot contain them.
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address] ?? address;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Returns an IP address as sockets take it: URLs have brackets around an IPv6 address (RFC 3986 §3.2.2). */
export const withoutBrackets = (address: string): string => address.replace(/^\[(.*)\]$/, '$1');

type ListenAddress = { readonly host: string; readonly port: number };

/** The names of the two settings that an operator would change. */
type ListenNames = { readonly host: string; readonly port: string };

/** The codes for which the address is wrong, and not the port. */
const ofHost = ['ENOTFOUND', 'EAI_AGAIN', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'];

const portHints: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Another process listens there. Choose another port.',
  EACCES: 'This process may not use the port. Choose one from 1024 on.',
};

/** The error for a server that cannot listen: `config_invalid`, with the name of what is wrong. */
export function listenError(cause: unknown, { host, port }: ListenAddress, names: ListenNames): WebdistError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  const isHost = ofHost.includes(code);
  const hint = isHost ? 'This machine has no such address.' : portHints[code];
  const name = isHost ? names.host : names.port;
  return new WebdistError('config_invalid', `${name}: cannot listen on ${host} port ${port} (${code}).`, {
    cause,
    ...(hint && { hint }),
  });
}
