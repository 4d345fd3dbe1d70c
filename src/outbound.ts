/**
 * Reads responses of other servers within limits: bytes after decompression, time, redirects and the kind of content.
 * An attacker who controls such a server, or its DNS, must not be able to fill this process's memory, or to make it
 * call private addresses.
 */

import { lookup } from 'node:dns/promises';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { proxyProblem } from './connection-problem.ts';

/** The limits of one read. Without `maxRedirects`, no redirect is followed. */
export type Bounds = { readonly maxBytes: number; readonly timeoutMs: number; readonly maxRedirects?: number };
/** The bounds of a request that posts a form. */
export type Posting = Omit<Bounds, 'maxRedirects'> & { readonly form: URLSearchParams };

/** The error for a body that is longer than the limit. */
export class TooLongError extends Error {}

/** A complete answer; `status` is 200 to 299. */
export type Read = { readonly status: number; readonly headers: Headers; readonly bytes: Buffer };

/**
 * Reads a URL, or the answer to a form. Throws an Error with one sentence for a status other than 2xx, a redirect, a
 * body beyond the limits, and an HTML page, which is the error page or login page of a proxy. Throws the error of `fetch` if there is no answer.
 */
export async function readUrl(url: string | URL, { maxBytes, timeoutMs, ...more }: Bounds | Posting): Promise<Read> {
  const signal = AbortSignal.timeout(timeoutMs);
  const { maxRedirects = 0 } = 'form' in more ? {} : more;
  let response = await request(url, signal, 'form' in more ? { method: 'POST', body: more.form } : {});
  let from = new URL(url);
  for (let hop = 0; hop < maxRedirects && response.headers.has('location'); hop++) {
    await response.body?.cancel();
    from = await redirectTarget(from, response.headers.get('location') ?? '');
    response = await request(from, signal);
  }
  const { status, headers } = response;
  const problem = problemIn(response);
  if (problem !== undefined) {
    await response.body?.cancel();
    throw new Error(problem);
  }
  return { status, headers, bytes: await readBody(response, maxBytes) };
}

const request = (url: string | URL, signal: AbortSignal, post: RequestInit = {}): Promise<Response> =>
  fetch(url, { ...post, redirect: 'manual', signal }).catch((error) => {
    const proxy = proxyProblem(error);
    throw proxy ? new Error(`The server ${proxy.what}. ${proxy.hint}`, { cause: error }) : error;
  });

/**
 * Returns the target of a redirect. Throws an Error for another protocol, and for a private address unless the redirect
 * comes from one.
 */
export async function redirectTarget(from: URL, location: string): Promise<URL> {
  const to = new URL(location, from);
  if (to.protocol !== from.protocol) throw new Error('The server redirects to another protocol.');
  if ((await isPrivateTarget(to)) && !(await isPrivateTarget(from)))
    throw new Error('The server redirects to a private address.');
  return to;
}

/** Reads a body of at most this many bytes, counted after decompression. Throws TooLongError for a longer body. */
export async function readBody({ body }: Pick<Response, 'body'>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    // Throwing out of the loop closes the connection.
    if (bytes > maxBytes) throw new TooLongError(`The server sent more than ${maxBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function problemIn({ status, headers, type }: Response): string | undefined {
  if (type === 'opaqueredirect' || (status >= 300 && status < 400)) return 'The server answered with a redirect.';
  if (status < 200 || status > 299) return `The server answered with status ${status}.`;
  return /^text\/html\b/i.test(headers.get('content-type') ?? '')
    ? 'The server answered with an HTML page.'
    : undefined;
}

/** This machine, private networks, link-local addresses such as those of cloud metadata (RFC 6890, RFC 4193, RFC 6598). */
const privateRanges = new BlockList();
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
  ['::', 127],
  ['64:ff9b::', 96],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  privateRanges.addSubnet(address, prefix, isIPv6(address) ? 'ipv6' : 'ipv4');

/**
 * Whether a URL leads to a private address, directly or through DNS. To be used for URLs that another server chose. A
 * host that the operator named may be private.
 */
export async function isPrivateTarget(url: string | URL): Promise<boolean> {
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  // A name that DNS cannot resolve leads nowhere from here. Behind a proxy, the proxy resolves it.
  const found = isIP(host) > 0 ? [{ address: host }] : await lookup(host, { all: true }).catch(() => []);
  return found.some(({ address }) => privateRanges.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'));
}
