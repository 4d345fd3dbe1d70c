/**
 * Sends one request as a device does: it follows no redirect, and examines the certificate. It uses Node's own client,
 * because ky does not expose the certificate.
 */

import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connectionProblem } from '../connection-problem.ts';
import { withoutBrackets } from '../host.ts';

export type WebRequest = {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'OPTIONS';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** One of the host's addresses, to connect to it and no other. */
  readonly address?: string;
  /** Default: 10 s. */
  readonly timeoutMs?: number;
};

/** The answer. If there was none, `failed` is a code such as ECONNREFUSED. */
export type WebAnswer = {
  readonly failed?: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Why the certificate is not trusted; undefined if it is trusted, or without TLS. */
  readonly certificateProblem?: string | undefined;
  readonly certificateEnds?: Date | undefined;
  readonly ms: number;
};

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 8 * 1024 * 1024;

/** `connect` is the `host:port` to connect to instead of the address in DNS. Never throws. */
export async function sendRequest(
  url: URL,
  { method = 'GET', headers, body, address, timeoutMs = TIMEOUT_MS }: WebRequest,
  connect?: string,
): Promise<WebAnswer> {
  const started = performance.now();
  const isHttps = url.protocol === 'https:';
  const hostname = withoutBrackets(url.hostname);
  const [host, port] = connect?.split(/:(?=\d+$)/) ?? [hostname, url.port || (isHttps ? '443' : '80')];
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = isHttps ? requestHttps : requestHttp;
      // Accepts an untrusted certificate, because that is a finding and not an error. No secret is sent, and the answer
      // is not trusted.
      const servername = isIP(hostname) ? '' : hostname;
      const tls = isHttps && { servername, rejectUnauthorized: false };
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      request({
        ...tls,
        host: address ?? host,
        port,
        method,
        path: `${url.pathname}${url.search}`,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        headers: { host: url.host, ...headers, ...length },
      })
        .on('response', resolve)
        .on('error', reject)
        .end(body);
    });
    const certificate = isHttps ? certificateOf(answer.socket as TLSSocket) : {};
    const read = await beginningOf(answer);
    answer.destroy();
    const ms = Math.round(performance.now() - started);
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: read, ms, ...certificate };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    const failed = name === 'AbortError' ? 'ETIMEDOUT' : String(code ?? name);
    return { failed, status: 0, headers: {}, body: Buffer.alloc(0), ms: 0 };
  }
}

/** Reads the first 8 MiB of a body. No check expects a longer one. */
async function beginningOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function certificateOf(socket: TLSSocket): Pick<WebAnswer, 'certificateProblem' | 'certificateEnds'> {
  const { valid_to: end } = socket.getPeerCertificate();
  // Its type is Error, but at run time it is a code such as CERT_HAS_EXPIRED.
  const problem: unknown = socket.authorizationError;
  return {
    certificateProblem: socket.authorized ? undefined : problem instanceof Error ? problem.message : String(problem),
    certificateEnds: end ? new Date(end) : undefined,
  };
}

/** What an answer is, in words that complete "https://… …". */
export function answered(answer: WebAnswer): string {
  const { failed, status, headers } = answer;
  if (failed !== undefined) return connectionProblem({ code: failed })?.what ?? `does not answer (${failed})`;
  if (isChallenge(answer)) return `answers ${status} with a challenge for browsers`;
  return isRedirect(answer) ? `redirects to ${headers.location} (${status})` : `answers ${status}`;
}

/** The fix if a firewall answered with a challenge; otherwise `hint`. */
export const unlessChallenge = (answer: WebAnswer, hint: string): string =>
  isChallenge(answer)
    ? 'Exclude this path from the bot protection of the CDN or firewall: neither a device nor the button can solve a challenge.'
    : hint;

/** How bot protections mark a challenge: Cloudflare, AWS WAF and DataDome by a header, the others in the page that they send. */
const CHALLENGE_HEADERS = ['cf-mitigated', 'x-amzn-waf-action', 'x-datadome'];
const CHALLENGE_TEXT =
  /captcha|challenge-platform|_incapsula_|enable javascript and cookies|verify(ing)? (that )?you are (a )?human/i;

function isChallenge({ status, headers, body }: WebAnswer): boolean {
  if (CHALLENGE_HEADERS.some((name) => /challenge|captcha|protected/i.test(String(headers[name] ?? '')))) return true;
  return [403, 405, 429, 503].includes(status) && CHALLENGE_TEXT.test(body.toString('latin1', 0, 16_384));
}

export const isRedirect = ({ status }: WebAnswer): boolean => status >= 300 && status < 400;

/** Whether an answer is a page, which websites also send instead of files that they do not have. */
export const isPage = (answer: WebAnswer): boolean =>
  mediaTypeOf(answer) === 'text/html' || /^\s*<(!doctype html|html)\b/i.test(answer.body.toString('latin1', 0, 200));

/** The media type of an answer, in lower case without parameters; empty if there is none. */
export const mediaTypeOf = ({ headers }: WebAnswer): string =>
  (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The body as JSON; undefined if it is not JSON. */
export function jsonOf({ body }: WebAnswer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
