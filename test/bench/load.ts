/**
 * The load generator, a process of its own: as many keep-alive connections as asked, each with one request under way,
 * over plain sockets, so that it costs little beside the server. Takes a `Load` as its argument, prints a `Loaded`.
 */

import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type Load = {
  readonly url: string;
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /** All connections together; without it each asks again as soon as it is answered. */
  readonly perSecond?: number;
};

export type Loaded = {
  readonly answered: number;
  /** How many other answers than 200 there were, by status. */
  readonly refused: Readonly<Record<number, number>>;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Of the other answers. */
  readonly refusedP99: number;
};

/** Runs a load; latencies in microseconds, counted from when a request was due. */
async function run(load: Load): Promise<Loaded> {
  const { hostname, port } = new URL(load.url);
  const latencies: number[] = [];
  const refusals: number[] = [];
  const refused: Record<number, number> = {};
  const began = performance.now();
  const endAt = began + load.seconds * 1000;
  const everyMs = load.perSecond === undefined ? 0 : (load.connections / load.perSecond) * 1000;

  const ask = async (index: number) => {
    const request = requestOf(load);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const answers = answersOf(socket);
    let dueAt = began + (everyMs * index) / load.connections;
    let message = Buffer.from(request());
    for (;;) {
      const early = dueAt - performance.now();
      if (early > 0) await delay(early);
      const sentAt = performance.now();
      if (sentAt > endAt) break;
      socket.write(message);
      const answer = await answers();
      const now = performance.now();
      const latency = (now - (early > 0 || everyMs === 0 ? sentAt : dueAt)) * 1000;
      if (answer.status !== 200) refused[answer.status] = (refused[answer.status] ?? 0) + 1;
      (answer.status === 200 ? latencies : refusals).push(latency);
      if (answer.cookie) message = Buffer.from(request(answer.cookie));
      dueAt += everyMs;
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: load.connections }, (_, index) => ask(index)));
  for (const all of [latencies, refusals]) all.sort((a, b) => a - b);
  const at = (share: number, all = latencies) => Math.round(all[Math.floor(all.length * share)] ?? 0);
  return {
    answered: latencies.length,
    refused,
    seconds: (performance.now() - began) / 1000,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    refusedP99: at(0.99, refusals),
  };
}

const requestOf = ({ url, path, body, headers }: Load) => {
  const lines = Object.entries({ host: new URL(url).host, ...headers, 'content-length': String(body.length) });
  return (cookie?: string) =>
    [
      `POST ${path} HTTP/1.1`,
      ...lines.map(([name, value]) => `${name}: ${value}`),
      ...(cookie ? [`cookie: ${cookie}`] : []),
      '',
      body,
    ].join('\r\n');
};

/** Reads one answer after another; knows only answers with a content-length. */
function answersOf(socket: ReturnType<typeof connect>) {
  let text = '';
  let done: (answer: { status: number; cookie: string | undefined }) => void = () => undefined;
  let failed: (error: Error) => void = () => undefined;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    text += chunk;
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = text.slice(0, headEnd);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    if (text.length < headEnd + 4 + length) return;
    text = '';
    done({ status: Number(head.slice(9, 12)), cookie: /webdist_device=[^;]+/.exec(head)?.[0] });
  });
  socket.on('error', (error) => failed(error));
  socket.on('close', () => failed(new Error('The server closed the connection.')));
  return () =>
    new Promise<Parameters<typeof done>[0]>((resolve, reject) => {
      [done, failed] = [resolve, reject];
    });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '') as Load)));
