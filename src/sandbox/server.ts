/**
 * The sandbox's HTTP server. `/_sandbox` is routed by Fastify. All other requests are for the simulated Apple and are
 * handled with `node:http` alone, which leaves the order of refusals, `Date`, malformed URLs and dropped connections to us.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type AppleDeps, answerApple, type MeteredAnswer, WARNING_HEADER } from './apple/app-store-connect.ts';
import { errorAnswer } from './apple/json-api.ts';
import { addControl, type ControlDeps } from './control.ts';

/** What the server needs. */
export type SandboxServerDeps = AppleDeps &
  ControlDeps & {
    readonly requestsPerHour: number;
    readonly log: Logger | undefined;
    /** Ends the delays of faults. */
    readonly closing: AbortSignal;
  };

/** The largest body. A longer one is truncated, and is then no longer valid JSON. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Connections stay open long, so that no client reuses one that is just being closed. */
const KEEP_ALIVE_MS = 72_000;

/** Returns a server; the caller makes it listen. */
export function buildSandboxServer(deps: SandboxServerDeps): FastifyInstance {
  const server = Fastify({
    forceCloseConnections: true,
    serverFactory: (control) =>
      createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
        if (request.url?.startsWith('/_sandbox/')) control(request, response);
        else void serveApple(request, response, deps);
      }),
  });
  // Reads any content type as text, because `curl -d` labels its body as a form.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body));
  addControl(server, deps);
  return server;
}

/** Answers one request, or closes its connection. Never rejects. */
async function serveApple(request: IncomingMessage, response: ServerResponse, deps: SandboxServerDeps): Promise<void> {
  const { method = '', url: target = '' } = request;
  const path = target.split('?', 1)[0] ?? '';
  const end = deps.requests.begin(method, path);
  const { skewMs, latencyMs, drop, answer: faulty } = deps.faults.take(method, path);
  const nowMs = () => deps.now() + skewMs;
  const breakOff = () => {
    end(0);
    request.socket.destroy();
  };
  try {
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: deps.closing });
    if (drop === true) return breakOff();
    const body = await readBody(request);
    const received = { method, target, headers: request.headers, origin: originOf(request), body };
    const answer = faulty ?? (await answerApple({ ...received, nowMs: nowMs() }, deps));
    if (drop === 'after') return breakOff();
    end(answer.status);
    const warning = answer.headers?.[WARNING_HEADER];
    if (warning) deps.log?.warn({ method, path }, warning);
    send(response, answer, nowMs(), deps);
  } catch (error) {
    if (deps.closing.aborted || request.socket.destroyed) return breakOff();
    end(500);
    deps.log?.error({ err: error, method, path }, 'the sandbox failed');
    send(response, errorAnswer(500, 'UNEXPECTED_ERROR', 'The sandbox failed; see its log.'), nowMs(), deps);
  }
}

/** Returns the origin as the caller sees it, even behind a TLS-terminating proxy. */
function originOf({ headers }: IncomingMessage): string {
  return `${headers['x-forwarded-proto'] === 'https' ? 'https' : 'http'}://${headers.host}`;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Adds the headers that all of Apple's responses have: `Date` from the simulated clock, and `X-Rate-Limit`. */
function send(
  response: ServerResponse,
  answer: MeteredAnswer,
  nowMs: number,
  { requestsPerHour }: SandboxServerDeps,
): void {
  const { limit, remaining } = answer.allowance ?? {
    limit: requestsPerHour,
    remaining: answer.status === 429 ? 0 : requestsPerHour,
  };
  const isText = typeof answer.body === 'string';
  const body = typeof answer.body === 'object' ? JSON.stringify(answer.body) : answer.body;
  response.writeHead(answer.status, {
    date: new Date(nowMs).toUTCString(),
    'x-rate-limit': `user-hour-lim:${limit};user-hour-rem:${remaining};`,
    ...(body && {
      'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
      'content-length': Buffer.byteLength(body),
    }),
    ...answer.headers,
  });
  response.end(body);
}
