/**
 * The sandbox's HTTP server. `/_sandbox` goes to Fastify; every other request is one for Apple and is answered here,
 * on bare sockets, so that the order of refusals, `Date`, broken addresses and dropped connections are as they should.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type AppleAnswer, type AppleParts, answerApple } from './apple/app-store-connect.ts';
import { errorAnswer } from './apple/json-api.ts';
import { addControl, type ControlParts } from './control.ts';

/** What the server works with. */
export type ServerParts = AppleParts &
  ControlParts & {
    readonly requestsPerHour: number;
    readonly log: Logger | undefined;
    /** Ends delays that faults make. */
    readonly closing: AbortSignal;
  };

/** A body beyond this is cut off, and then is not JSON. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Long, so that no client meets a connection that is just being closed. */
const KEEP_ALIVE_MS = 72_000;

/** Gives a server that does not listen yet. */
export function buildServer(parts: ServerParts): FastifyInstance {
  const server = Fastify({
    forceCloseConnections: true,
    serverFactory: (control) =>
      createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
        if (request.url?.startsWith('/_sandbox/')) control(request, response);
        else void serveApple(request, response, parts);
      }),
  });
  // Any type of content, as text: what `curl -d` sends calls itself a form.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body));
  addControl(server, parts);
  return server;
}

/** Answers one request, or closes its connection. Never rejects. */
async function serveApple(request: IncomingMessage, response: ServerResponse, parts: ServerParts): Promise<void> {
  const { method = '', url: target = '' } = request;
  const path = target.split('?', 1)[0] ?? '';
  const end = parts.requests.begin(method, path);
  const { skewMs, latencyMs, drop, answer: wrong } = parts.faults.take(method, path);
  const nowMs = () => parts.now() + skewMs;
  const breakOff = () => {
    end(0);
    request.socket.destroy();
  };
  try {
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: parts.closing });
    if (drop === true) return breakOff();
    const body = await readBody(request);
    const asked = { method, target, headers: request.headers, origin: `http://${request.headers.host}`, body };
    const answer = wrong ?? (await answerApple({ ...asked, nowMs: nowMs() }, parts));
    if (drop === 'after') return breakOff();
    end(answer.status);
    send(response, answer, nowMs(), parts);
  } catch (error) {
    if (parts.closing.aborted || request.socket.destroyed) return breakOff();
    end(500);
    parts.log?.error({ err: error, method, path }, 'the sandbox failed');
    send(response, errorAnswer(500, 'UNEXPECTED_ERROR', 'The sandbox failed; its log says how.'), nowMs(), parts);
  }
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

/** Adds what every answer of Apple's has: `Date` by the simulated clock, and `X-Rate-Limit`. */
function send(response: ServerResponse, answer: AppleAnswer, nowMs: number, { requestsPerHour }: ServerParts): void {
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
