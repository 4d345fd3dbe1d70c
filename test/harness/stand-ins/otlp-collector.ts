/**
 * An OpenTelemetry collector for tests: it receives OTLP traces (http/protobuf, opentelemetry-proto 1.7.0) and records
 * every byte and every span. It can refuse them or not answer.
 */

import { createServer, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { listen } from '../port.ts';

export type ReceivedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Attributes;
  /** Ids of the spans it links to. */
  readonly links: readonly string[];
  readonly failed: boolean;
  readonly nanoseconds: bigint;
  readonly resource: Attributes;
};
type Attributes = Readonly<Record<string, unknown>>;

/** `hanging` takes the spans and never answers. */
type Mood = 'well' | 'hanging' | 'refusing';

export async function openCollector(t: Test) {
  const bodies: string[] = [];
  const requests: { path: string | undefined; headers: IncomingHttpHeaders }[] = [];
  const spans: ReceivedSpan[] = [];
  const collector = { url: '', mood: 'well' as Mood, bodies, requests, spans };
  const server = createServer(async (request, response) => {
    // Latin-1 preserves every byte.
    const body = await text(request.setEncoding('latin1'));
    requests.push({ path: request.url, headers: request.headers });
    bodies.push(body);
    if (collector.mood === 'hanging') return;
    if (collector.mood === 'refusing') return response.writeHead(400).end('refused, with a secret of the collector');
    spans.push(...readSpans(Buffer.from(body, 'latin1')));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  collector.url = `http://127.0.0.1:${await listen(server)}`;
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return collector;
}

function readSpans(exported: Buffer): ReceivedSpan[] {
  return messages(exported, 1).flatMap((resourceSpans) => {
    const resource = attributesIn(messages(resourceSpans, 1)[0] ?? Buffer.alloc(0), 1);
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => ({ ...readSpan(span), resource }));
  });
}

function readSpan(span: Buffer): Omit<ReceivedSpan, 'resource'> {
  const id = (field: number) => messages(span, field)[0]?.toString('hex') ?? '';
  const [status = Buffer.alloc(0)] = messages(span, 15);
  return {
    traceId: id(1),
    spanId: id(2),
    parentSpanId: id(4),
    name: messages(span, 5)[0]?.toString() ?? '',
    kind: Number(numbers(span, 6)[0]),
    nanoseconds: (numbers(span, 8)[0] ?? 0n) - (numbers(span, 7)[0] ?? 0n),
    attributes: attributesIn(span, 9),
    links: messages(span, 13).map((link) => messages(link, 2)[0]?.toString('hex') ?? ''),
    failed: numbers(status, 3)[0] === 2n,
  };
}

function attributesIn(message: Buffer, field: number): Attributes {
  return Object.fromEntries(
    messages(message, field).map((keyValue) => {
      const [name, value = Buffer.alloc(0)] = [messages(keyValue, 1)[0]?.toString() ?? '', messages(keyValue, 2)[0]];
      const [string] = messages(value, 1);
      return [name, string === undefined ? Number(numbers(value, 3)[0]) : string.toString()];
    }),
  );
}

const messages = (message: Buffer, field: number) =>
  [...fields(message)].flatMap(([number, value]) => (number === field && typeof value !== 'bigint' ? [value] : []));

const numbers = (message: Buffer, field: number) =>
  [...fields(message)].flatMap(([number, value]) => (number === field && typeof value === 'bigint' ? [value] : []));

/** Protocol Buffers' wire format: each field's number and its value. */
function* fields(message: Buffer): Generator<[number, bigint | Buffer]> {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const type = tag & 7;
    if (type === 0) yield [tag >> 3, varint()];
    else if (type === 1) yield [tag >> 3, take(8).readBigUInt64LE()];
    else if (type === 2) yield [tag >> 3, take(Number(varint()))];
    else if (type === 5) yield [tag >> 3, BigInt(take(4).readUInt32LE())];
    else throw new Error(`There is no wire type ${type}.`);
  }
}
