/**
 * One request as a device makes it: no redirect followed, the certificate looked at, nothing trusted. Node's own
 * client rather than ky, which does not show the certificate.
 */

import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { buffer } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

export type Question = {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'OPTIONS';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
};

/** What came; `failed` is a code such as ECONNREFUSED when nothing did. */
export type Answer = {
  readonly failed?: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Why the certificate is not trusted; undefined when it is, or without TLS. */
  readonly certificateProblem?: string | undefined;
  readonly certificateEnds?: Date | undefined;
  readonly ms: number;
};

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 8 * 1024 * 1024;

/** Asks; `connect` is `host:port` to go to instead of what the name resolves to. Never throws. */
export async function ask(url: URL, { method = 'GET', headers, body }: Question, connect?: string): Promise<Answer> {
  const started = performance.now();
  const isHttps = url.protocol === 'https:';
  const [host, port] = connect?.split(/:(?=\d+$)/) ?? [url.hostname, url.port || (isHttps ? '443' : '80')];
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = isHttps ? requestHttps : requestHttp;
      // An untrusted certificate is a finding, not the end: nothing secret is sent or believed.
      const tls = isHttps && { servername: url.hostname, rejectUnauthorized: false };
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      request({
        ...tls,
        host,
        port,
        method,
        path: `${url.pathname}${url.search}`,
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: { host: url.host, ...headers, ...length },
      })
        .on('response', resolve)
        .on('error', reject)
        .end(body);
    });
    const certificate = isHttps ? certificateOf(answer.socket as TLSSocket) : {};
    const read = Number(answer.headers['content-length'] ?? 0) > MAX_BYTES ? Buffer.alloc(0) : await buffer(answer);
    answer.destroy();
    const ms = Math.round(performance.now() - started);
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: read, ms, ...certificate };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return { failed: String(code ?? name), status: 0, headers: {}, body: Buffer.alloc(0), ms: 0 };
  }
}

function certificateOf(socket: TLSSocket): Pick<Answer, 'certificateProblem' | 'certificateEnds'> {
  const { valid_to: end } = socket.getPeerCertificate();
  // An Error by its type, a code such as CERT_HAS_EXPIRED in fact.
  const problem: unknown = socket.authorizationError;
  return {
    certificateProblem: socket.authorized ? undefined : problem instanceof Error ? problem.message : String(problem),
    certificateEnds: end ? new Date(end) : undefined,
  };
}
