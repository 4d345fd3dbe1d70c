/**
 * Problem details for connections that are refused, and for bytes that Node's parser does not accept. The framework never
 * sees these, so they have no request id.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { WebdistError } from '../errors.ts';
import { STATUS_CODES } from '../node-http.ts';
import { oauthMembers, problemOf } from './problems.ts';

type Headers = Readonly<Record<string, string>>;

/** Answers with a problem, and the headers given. The rest of the request is dropped. */
export function sendRawProblem(
  response: ServerResponse,
  error: WebdistError,
  problemsUrl: string,
  more: Headers,
): void {
  const { body, headers } = contentOf(error, problemsUrl, response.req.url);
  response.writeHead(error.status, { ...more, ...headers }).end(body);
}

/**
 * Answers the requests to which Node itself responds without a body, or not at all: malformed and late requests,
 * expectations, and CONNECT.
 */
export function answerParserErrors(
  server: Server,
  problemsUrl: string,
  headersFor: (request?: IncomingMessage) => Headers,
): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Nothing can be written after an earlier response has begun, or when the client is gone.
    if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) return socket.destroy(error);
    const problem = parserErrors[error.code ?? ''] ?? malformed;
    socket.end(messageOf(problem, problemsUrl, headersFor()), () => socket.destroy());
  });
  server.on('connect', (_request, socket) => {
    socket.on('error', () => undefined);
    socket.end(messageOf(notProxy, problemsUrl, { ...headersFor(), allow: 'GET, POST' }), () => socket.destroy());
  });
  server.on('checkExpectation', (request, response) =>
    sendRawProblem(response, unknownExpectation, problemsUrl, { ...headersFor(request), connection: 'close' }),
  );
}

/** HTTP/1.1 requires exactly one (RFC 9112 §3.2), and Node's own refusal has no body. */
export const withoutHost = new WebdistError('invalid_request', 'host: is required, once (RFC 9112 §3.2).');

const malformed = new WebdistError('invalid_request', 'The request is not valid HTTP.');
const notProxy = new WebdistError('method_not_allowed', 'CONNECT: this server is not a proxy.');
const unknownExpectation = new WebdistError('expectation_failed', 'expect: only 100-continue is supported.');
const parserErrors: Readonly<Record<string, WebdistError>> = {
  HPE_HEADER_OVERFLOW: new WebdistError('headers_too_large', 'The header fields are longer than 16 KiB.'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: new WebdistError('too_large', 'The chunk extensions are too long.'),
  ERR_HTTP_REQUEST_TIMEOUT: new WebdistError('request_timeout', 'The request did not arrive completely in time.'),
};

function contentOf(error: WebdistError, problemsUrl: string, url?: string) {
  const { requestId: _, ...problem } = problemOf(error, '', problemsUrl);
  const body = JSON.stringify({ ...oauthMembers(url, error), ...problem });
  const headers: Headers = {
    'cache-control': 'no-store',
    'content-length': String(Buffer.byteLength(body)),
    'content-type': 'application/problem+json',
    ...(error.retryAfterSeconds !== undefined && { 'retry-after': String(error.retryAfterSeconds) }),
  };
  return { body, headers };
}

/** A whole response (RFC 9112 §2.1), for a socket without a parsed request. */
function messageOf(error: WebdistError, problemsUrl: string, more: Headers): string {
  const { body, headers } = contentOf(error, problemsUrl);
  const fields = Object.entries({ ...more, ...headers, date: new Date().toUTCString(), connection: 'close' });
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
