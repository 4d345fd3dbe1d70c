/**
 * Audit lines as syslog messages (RFC 5424), to a Unix stream socket, over TCP with octet counting (RFC 6587 §3.4.1), or
 * over UDP with a datagram for each line (RFC 5426). None of these protocols has acknowledgements, so lines that a broken
 * connection had not delivered are lost. `webdist audit verify` shows this.
 */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6, type NetConnectOpts, type Socket, connect as tcpConnect } from 'node:net';
import { hostname } from 'node:os';
import { withoutBrackets } from '../host.ts';
import type { AuditLine } from './chain.ts';
import type { Sink } from './sink.ts';

const TIMEOUT_MS = 5000;
/** Facility 13 (log audit), severity 6 (informational): RFC 5424 §6.2.1. */
export const PRIORITY = 13 * 8 + 6;
const DEFAULT_PORT = 514;

/** RFC 5424 §6: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID SD MSG`. */
const messageOf = ({ at, event, text }: AuditLine): string =>
  `<${PRIORITY}>1 ${at} ${hostname()} webdist ${process.pid} ${event} - ${text}`;

/** Returns a message with its length in bytes in front, by which the receiver finds its end. */
function framed(line: AuditLine): string {
  const message = messageOf(line);
  return `${Buffer.byteLength(message)} ${message}`;
}

/**
 * `syslog+unix:///path`, `syslog+tcp://host[:port]`. Connects when the first line is written, and again after each
 * failure.
 */
export function openStreamSink(url: URL): Sink {
  const to: NetConnectOpts =
    url.protocol === 'syslog+unix:' ? { path: decodeURIComponent(url.pathname) } : addressOf(url);
  let socket: Socket | undefined;
  const connected = async (): Promise<Socket> => {
    if (socket && !socket.destroyed) return socket;
    const next = tcpConnect({ ...to, timeout: TIMEOUT_MS });
    next.on('timeout', () => next.destroy(new Error('The syslog server does not answer.')));
    await once(next, 'connect');
    // Also keeps a broken connection from ending the process; the next write fails.
    next
      .on('error', () => next.destroy())
      .setTimeout(0)
      .unref();
    socket = next;
    return next;
  };
  return {
    name: url.href,
    async write(lines) {
      const open = await connected();
      await new Promise<void>((resolve, reject) => {
        open.write(lines.map(framed).join(''), (error) => (error ? reject(error) : resolve()));
      });
    },
    async reopen() {
      // There is no file.
    },
    async close() {
      if (!socket || socket.destroyed) return;
      socket.end();
      await Promise.race([once(socket, 'close'), new Promise((done) => setTimeout(done, TIMEOUT_MS).unref())]);
    },
  };
}

/** `syslog+udp://host[:port]`. */
export function openDatagramSink(url: URL): Sink {
  const { host, port } = addressOf(url);
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    .on('error', () => undefined)
    .unref();
  return {
    name: url.href,
    async write(lines) {
      for (const line of lines)
        await new Promise<void>((resolve, reject) => {
          socket.send(messageOf(line), port, host, (error) => (error ? reject(error) : resolve()));
        });
    },
    async reopen() {
      // There is no file.
    },
    async close() {
      socket.close();
    },
  };
}

const addressOf = ({ hostname: host, port }: URL) => ({
  host: withoutBrackets(host),
  port: port === '' ? DEFAULT_PORT : Number(port),
});
