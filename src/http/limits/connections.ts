/**
 * Limits the resources of this process that one connection and one address may use, before any limit of tokens applies:
 * sockets, bodies that have not arrived, and requests that were sent without waiting for answers. A request is passed on
 * to the server, and counts for overload, only when its body has arrived, so slow bodies do not take capacity from other
 * callers.
 */

import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type AddressOf, networkOf } from '../../address.ts';
import type { Metrics } from '../../metrics.ts';
import { sendRawProblem, withoutHost } from '../raw-problem.ts';
import { openMemoryCounter } from './counters.ts';
import { openHeld } from './held.ts';
import { rateLimited } from './rate-limit.ts';

/** A browser opens six connections; a carrier puts thousands of devices behind one address. */
const MAX_SOCKETS = 2000;

/**
 * The number of bodies of one address that may be in transit. Devices and pages send a few bytes, in one or two
 * packets.
 */
const MAX_BODIES = 64;

/** No client in use sends a second request before the first one is answered; proxies do not either. */
const MAX_UNANSWERED = 8;

/**
 * If this many connections of an address had to be closed for that reason within a minute, its new connections are
 * refused until the minute is over, because parsing its requests costs as much as answering them.
 */
const MAX_MISUSES = 20;
const MISUSE_WINDOW_MS = 60_000;

/**
 * The number of preflights and refused requests that an address may send for each token that it may request. Nothing else
 * limits them. Health has its own limit.
 */
const REQUESTS_PER_TOKEN = 10;
const REQUESTS_WINDOW_MS = 60_000;
const HEALTH = /^(GET|HEAD) \/(health\/(live|ready|startup)|(live|ready|startup)z)(\?|$)/;

/**
 * A socket is closed if nothing happens on it for this long while a request or a response is incomplete, e.g. a response
 * that is not read.
 */
const STALLED_MS = 30_000;

/** Closed sockets are removed from the list whenever this many new ones have been added. */
const SWEEP_EVERY = 1000;

const RETRY_SECONDS = 1;

type Deps = {
  readonly metrics: Pick<Metrics, 'connectionsRefused'>;
  readonly addressOf: AddressOf;
  /** The tokens per minute that one address may request. */
  readonly tokensPerMinute: number;
  /** Connections of proxies are not counted, because they carry the requests of many visitors. */
  readonly isProxy: (address: string) => boolean;
  /** The start of the `type` of a problem. */
  readonly problemsUrl: string;
  readonly headersFor: (request: IncomingMessage) => Readonly<Record<string, string>>;
};

/** The limits of one server. Pass its connections to `watch`, and its handler to `wrap`. */
export function openConnections({ metrics, addressOf, tokensPerMinute, isProxy, problemsUrl, headersFor }: Deps) {
  const sockets = openSocketCount();
  /** By address, in the order in which they began. Each entry is a function that ends the body. */
  const bodies = new Map<string, Set<() => void>>();
  const counts = new WeakMap<Socket, { unanswered: number }>();
  const countOf = (socket: Socket) => {
    const known = counts.get(socket);
    if (known) return known;
    const fresh = { unanswered: 0 };
    counts.set(socket, fresh);
    return fresh;
  };
  const misuse = openMisuse();
  const countRequest = openMemoryCounter({ windowMs: REQUESTS_WINDOW_MS, maxKeys: 50_000 });
  // A client that ignores Retry-After can then send only one request per second on each connection.
  const held = openHeld(RETRY_SECONDS * 1000, (response) => {
    if (!response.destroyed)
      sendRawProblem(response, rateLimited(RETRY_SECONDS), problemsUrl, headersFor(response.req));
  });

  const awaitBody = (address: string, request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const others = bodies.get(address) ?? new Set();
    const stop = () => {
      request.off('readable', arrived).off('close', stop);
      others.delete(drop);
      if (others.size === 0) bodies.delete(address);
    };
    const arrived = () => {
      // A body that is longer than the buffer is passed on early: its route refuses it, or accepts it from a known caller.
      if (!isHere(request) && request.readableLength < request.readableHighWaterMark) return;
      stop();
      next();
    };
    const drop = () => {
      stop();
      metrics.connectionsRefused.inc({ reason: 'bodies' });
      sendRawProblem(response, rateLimited(RETRY_SECONDS), problemsUrl, {
        ...headersFor(request),
        connection: 'close',
      });
    };
    // The body that has taken longest is refused. The newest one may be from a visitor, and may be complete at once.
    const [oldest] = others;
    if (oldest && others.size >= MAX_BODIES) oldest();
    bodies.set(address, others.add(drop));
    request.on('readable', arrived).once('close', stop);
  };
  return {
    /** Sends the refusals that are held back. */
    close: held.close,
    watch(server: Server): void {
      server.setTimeout(STALLED_MS);
      server.on('connection', (socket: Socket) => {
        if (isProxy(socket.remoteAddress ?? '')) return;
        const address = networkOf(socket.remoteAddress ?? '');
        const isMisused = misuse.isBlocked(address);
        if (isMisused || sockets.isFull(address)) {
          metrics.connectionsRefused.inc({ reason: isMisused ? 'unanswered' : 'sockets' });
          socket.destroy();
          return;
        }
        sockets.add(address, socket);
      });
    },
    wrap:
      (handler: RequestListener): RequestListener =>
      (request, response) => {
        const { socket } = request;
        // The parser passes on every request of a packet, also after the socket was destroyed.
        if (socket.destroyed) return;
        const open = countOf(socket);
        const address = addressOf(request);
        if (open.unanswered >= MAX_UNANSWERED) {
          metrics.connectionsRefused.inc({ reason: 'unanswered' });
          misuse.count(networkOf(socket.remoteAddress ?? ''));
          socket.destroy();
          return;
        }
        open.unanswered += 1;
        response.on('close', () => {
          open.unanswered -= 1;
          if (isLimitedByNothing(response)) countRequest(address, 1);
        });
        if (!hasOneHost(request) && request.httpVersion === '1.1')
          return sendRawProblem(response, withoutHost, problemsUrl, { ...headersFor(request), connection: 'close' });
        const isOver = countRequest(address, 0).count >= tokensPerMinute * REQUESTS_PER_TOKEN;
        if (isOver && !HEALTH.test(`${request.method} ${request.url}`)) {
          metrics.connectionsRefused.inc({ reason: 'requests' });
          request.resume();
          return held.add(response);
        }
        const next = () => handler(request, response);
        if (!hasBody(request)) return next();
        // A body in the same packet as the header fields has arrived by the next tick.
        process.nextTick(() => (isHere(request) ? next() : awaitBody(address, request, response, next)));
      },
  };
}

/** Preflights, and everything that the caller did wrong. Servers with an API key may send any number of other requests. */
const isLimitedByNothing = ({ req: { method }, statusCode }: ServerResponse<IncomingMessage>): boolean =>
  method === 'OPTIONS' || (statusCode >= 400 && statusCode < 500);

/** RFC 9112 §3.2. Node keeps only the first of several. */
function hasOneHost({ headers, rawHeaders }: IncomingMessage): boolean {
  if (headers.host === undefined) return false;
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.length === 4 && rawHeaders[index]?.toLowerCase() === 'host') count += 1;
  return count === 1;
}

/** RFC 9112 §6. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';

/** Whether all of the body has arrived; `complete` turns true a little later. */
const isHere = ({ complete, readableLength, headers }: IncomingMessage): boolean =>
  complete || readableLength >= Number(headers['content-length']);

/** The addresses that get no new connection for now. */
function openMisuse() {
  const countHere = openMemoryCounter({ windowMs: MISUSE_WINDOW_MS, maxKeys: 10_000 });
  const blockedUntilMs = new Map<string, number>();
  return {
    count(address: string): void {
      const { count, endsInMs } = countHere(address, 1);
      if (count >= MAX_MISUSES) blockedUntilMs.set(address, performance.now() + endsInMs);
    },
    isBlocked(address: string): boolean {
      const end = blockedUntilMs.get(address);
      if (end === undefined) return false;
      if (performance.now() < end) return true;
      return !blockedUntilMs.delete(address);
    },
  };
}

/**
 * The open sockets of each address. Closed ones are removed when they would count, and at intervals. A `close` listener
 * on each socket instead costs 20 % of a token's CPU time: whole requests then survive minor GCs, 4 MB instead of 0.3 MB
 * each.
 */
function openSocketCount() {
  const byAddress = new Map<string, Set<Socket>>();
  let untilSweep = SWEEP_EVERY;
  const dropClosed = (sockets: Set<Socket>, address: string) => {
    for (const socket of sockets) if (socket.destroyed) sockets.delete(socket);
    if (sockets.size === 0) byAddress.delete(address);
  };
  return {
    isFull(address: string): boolean {
      const sockets = byAddress.get(address);
      if (!sockets || sockets.size < MAX_SOCKETS) return false;
      dropClosed(sockets, address);
      return sockets.size >= MAX_SOCKETS;
    },
    add(address: string, socket: Socket): void {
      if (--untilSweep === 0) {
        byAddress.forEach(dropClosed);
        untilSweep = SWEEP_EVERY;
      }
      byAddress.set(address, (byAddress.get(address) ?? new Set()).add(socket));
    },
  };
}
