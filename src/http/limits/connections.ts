/**
 * What one connection and one address may hold of this process before any limit of tokens applies: sockets, bodies that
 * have not arrived, and requests that were sent without waiting for the answers. A request reaches the server, and counts
 * for overload, once its body is here: slow bodies take no place from other callers.
 */

import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Metrics } from '../../metrics.ts';
import type { AddressOf } from '../address.ts';
import { sendRawProblem, withoutHost } from '../raw-problem.ts';
import { rateLimited } from './rate-limit.ts';

/** A browser opens six connections; a carrier puts thousands of devices behind one address. */
const MAX_SOCKETS = 2000;

/** Bodies of one address that are on their way: devices and pages send a few bytes, in one or two packets. */
const MAX_BODIES = 64;

/** No client in use sends a second request before the first one is answered; proxies do not either. */
const MAX_UNANSWERED = 8;

/** A socket on which nothing happens for this long while it owes or is owed something, e.g. a response that is not read. */
const STALLED_MS = 30_000;

const RETRY_SECONDS = 1;

type Deps = {
  readonly metrics: Pick<Metrics, 'connectionsRefused'>;
  readonly addressOf: AddressOf;
  /** Connections of proxies are not counted: they carry the requests of many. */
  readonly isProxy: (address: string) => boolean;
  readonly headersFor: (request: IncomingMessage) => Readonly<Record<string, string>>;
};

/** The bounds of one server: `watch` its connections, and `wrap` its handler. */
export function openConnections({ metrics, addressOf, isProxy, headersFor }: Deps) {
  const sockets = openTally();
  /** By address, in the order in which they began; each is dropped by its function. */
  const bodies = new Map<string, Set<() => void>>();
  const unanswered = new WeakMap<Socket, number>();

  const awaitBody = (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const address = addressOf(request);
    const others = bodies.get(address) ?? new Set();
    const stop = () => {
      request.off('readable', arrived).off('close', stop);
      others.delete(drop);
      if (others.size === 0) bodies.delete(address);
    };
    const arrived = () => {
      // A body that is longer than the buffer is read by its route, which refuses it or knows the caller.
      if (!request.complete && request.readableLength < request.readableHighWaterMark) return;
      stop();
      next();
    };
    const drop = () => {
      stop();
      metrics.connectionsRefused.inc({ reason: 'bodies' });
      sendRawProblem(response, rateLimited(RETRY_SECONDS), { ...headersFor(request), connection: 'close' });
    };
    // The one that has taken longest makes room: a new one may be a visitor's, and complete at once.
    const [oldest] = others;
    if (oldest && others.size >= MAX_BODIES) oldest();
    bodies.set(address, others.add(drop));
    request.on('readable', arrived).once('close', stop);
  };
  return {
    watch(server: Server): void {
      server.setTimeout(STALLED_MS);
      server.on('connection', (socket: Socket) => {
        const address = socket.remoteAddress ?? '';
        if (isProxy(address)) return;
        if (sockets.countOf(address) >= MAX_SOCKETS) {
          metrics.connectionsRefused.inc({ reason: 'sockets' });
          socket.destroy();
          return;
        }
        sockets.add(address);
        socket.once('close', () => sockets.remove(address));
      });
    },
    wrap:
      (handler: RequestListener): RequestListener =>
      (request, response) => {
        const { socket } = request;
        // The parser passes on every request of a packet, also after the socket was destroyed.
        if (socket.destroyed) return;
        const open = (unanswered.get(socket) ?? 0) + 1;
        if (open > MAX_UNANSWERED) {
          metrics.connectionsRefused.inc({ reason: 'unanswered' });
          socket.destroy();
          return;
        }
        unanswered.set(socket, open);
        response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
        if (request.headers.host === undefined && request.httpVersion === '1.1')
          return sendRawProblem(response, withoutHost, { ...headersFor(request), connection: 'close' });
        const next = () => handler(request, response);
        if (!hasBody(request)) return next();
        // A body in the same packet as the header fields is complete by the next tick.
        process.nextTick(() => (request.complete ? next() : awaitBody(request, response, next)));
      },
  };
}

/** RFC 9112 §6. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';

/** How many of something each key has; a key without any takes no memory. */
function openTally() {
  const counts = new Map<string, number>();
  const countOf = (key: string) => counts.get(key) ?? 0;
  return {
    countOf,
    add: (key: string) => void counts.set(key, countOf(key) + 1),
    remove(key: string): void {
      const left = countOf(key) - 1;
      if (left > 0) counts.set(key, left);
      else counts.delete(key);
    },
  };
}
