/**
 * The load generator, a process of its own: keep-alive connections over plain sockets, each with one request under way,
 * so that it costs little beside the server. Takes a `Load` as its argument, prints a `Loaded`.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

export type Load = {
  readonly url: string;
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /**
   * Requests of all connections together, evenly spaced; without it, each connection sends the next request as soon as
   * it has a response.
   */
  readonly perSecond?: number;
  /** Every request comes from a new device: cookies are not sent back. */
  readonly isFirstVisit?: boolean;
  /** The first seconds are not counted, because connections open and code is compiled on both sides. Default: 0. */
  readonly settleSeconds?: number;
};

export type Loaded = {
  readonly answered: number;
  /** The number of responses other than 200, by status. */
  readonly refused: Readonly<Record<number, number>>;
  /** The length of the measurement, up to the last response with a token. */
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** The p99 of responses other than 200. */
  readonly refusedP99: number;
};

/**
 * Runs a load; latencies are in microseconds, from the time a request was due. It creates almost no garbage, because
 * pauses to collect it would count.
 */
async function run(load: Load): Promise<Loaded> {
  const connections = await Promise.all(Array.from({ length: load.connections }, () => openConnection(load)));
  const began = performance.now();
  const countFrom = began + (load.settleSeconds ?? 0) * 1000;
  const endAt = countFrom + load.seconds * 1000;
  const answered = new Latencies();
  const refusals = new Latencies();
  const refused: Record<number, number> = {};

  let lastAt = endAt;

  const count = (status: number, dueAt: number) => {
    if (dueAt < countFrom) return;
    const now = performance.now();
    (status === 200 ? answered : refusals).add(now - dueAt);
    if (status === 200) lastAt = Math.max(lastAt, now);
    if (status !== 200) refused[status] = (refused[status] ?? 0) + 1;
  };
  const askAgain = (connection: Connection, ended: () => void) => {
    const askedAt = performance.now();
    if (askedAt >= endAt) return ended();
    connection.ask((status) => {
      count(status, askedAt);
      askAgain(connection, ended);
    });
  };
  /**
   * A visitor waits for a response before its next request. So a request that is due while every connection waits is not
   * sent, and is counted as not sent. The connections take turns.
   */
  const askInTime = (perSecond: number, ended: () => void) => {
    const free = [...connections];
    let dueAt = began;
    const askDue = () => {
      const until = Math.min(performance.now(), endAt);
      for (; dueAt < until; dueAt += 1000 / perSecond) {
        const connection = free.shift();
        if (!connection) continue;
        const due = dueAt;
        connection.ask((status) => {
          count(status, due);
          free.push(connection);
        });
      }
      if (dueAt < endAt || free.length < connections.length) setImmediate(askDue);
      else ended();
    };
    askDue();
  };
  const { perSecond } = load;
  if (perSecond === undefined)
    await Promise.all(connections.map((one) => new Promise<void>((ended) => askAgain(one, ended))));
  else await new Promise<void>((ended) => askInTime(perSecond, ended));
  for (const connection of connections) connection.close();
  return {
    answered: answered.count,
    refused,
    seconds: (lastAt - countFrom) / 1000,
    p50: answered.at(0.5),
    p99: answered.at(0.99),
    p999: answered.at(0.999),
    refusedP99: refusals.at(0.99),
  };
}

/** Takes milliseconds; returns percentiles in microseconds. */
class Latencies {
  count = 0;
  readonly #taken = new Float64Array(4_000_000);

  add(milliseconds: number): void {
    this.#taken[this.count++] = milliseconds;
  }

  at(share: number): number {
    const sorted = this.#taken.subarray(0, this.count).sort();
    return Math.round((sorted[Math.floor(this.count * share)] ?? 0) * 1000);
  }
}

type Connection = {
  /** Sends the request, with the cookie of the first response; calls back with the status of the response. */
  ask(done: (status: number) => void): void;
  close(): void;
};

/** Reads one response after another; supports only responses with a content-length whose head arrives in one piece. */
async function openConnection(load: Load): Promise<Connection> {
  const { hostname, port } = new URL(load.url);
  let message = requestOf(load);
  let done: (status: number) => void = () => undefined;
  let status = 0;
  let keepsCookie = load.isFirstVisit !== true;
  let left = 0;
  const read = (bytes: number, buffer: Uint8Array): boolean => {
    const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, bytes);
    if (left === 0) {
      const head = chunk.toString('latin1', 0, chunk.indexOf('\r\n\r\n'));
      status = Number(head.slice(9, 12));
      left = head.length + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1]);
      const cookie = keepsCookie ? /webdist_device=[^;]+/.exec(head)?.[0] : undefined;
      if (cookie) message = requestOf(load, cookie);
      keepsCookie &&= cookie === undefined;
    }
    left -= bytes;
    if (left === 0) done(status);
    return true;
  };
  const onread = { buffer: Buffer.alloc(64 * 1024), callback: read };
  const socket = connect({ host: hostname, port: Number(port), noDelay: true, onread });
  await once(socket, 'connect');
  socket.on('close', () => {
    throw new Error('The server closed the connection.');
  });
  return {
    ask(answered) {
      done = answered;
      socket.write(message);
    },
    close() {
      socket.removeAllListeners('close');
      socket.destroy();
    },
  };
}

function requestOf({ url, path, body, headers }: Load, cookie?: string): Buffer {
  const lines = Object.entries({
    host: new URL(url).host,
    ...headers,
    ...(cookie && { cookie }),
    'content-length': String(body.length),
  });
  return Buffer.from(
    [`POST ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', body].join('\r\n'),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '') as Load)));
