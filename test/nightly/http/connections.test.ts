/**
 * What one connection and one address may occupy, over real sockets: slow bodies, requests without waiting, bytes that
 * are not HTTP.
 */

import { hash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { buildServer } from '../../../src/http/server.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { settingsIn, startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const PAGE = 'Host: x\r\nOrigin: https://shop.example.com\r\n';

async function open(t: Test, maxUnderWay = 1000, settings: Environment = {}) {
  const { serverDeps } = await startReady(t, undefined, settingsIn(temporaryFolder(t), settings));
  const overloadLimits = { maxLagMs: 1e9, maxUnderWay, leastUnderWay: 0, holdMs: 0, lagMs: () => 0 };
  const { app, close } = await buildServer({ ...serverDeps, overloadLimits });
  t.teardown(close);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  return {
    url,
    /** Opens a connection and sends bytes. */
    async send(bytes: string): Promise<Socket> {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(bytes);
      return socket;
    },
    refused: async (reason: string) => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(
        new RegExp(`^webdist_connections_refused_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(metrics)?.[1] ?? 0,
      );
    },
  };
}

/** A request whose body has begun and does not continue. */
const slow: Readonly<Record<string, string>> = {
  'a token': `POST /install-token HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\nContent-Length: 60\r\n\r\n{`,
  'a restore': `POST /marketplace-kit/restore HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{`,
  'a chunked body': `POST /installs HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
  'no byte of the body': `POST /button-errors HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n`,
  'a batch of a caller without an API key': `POST /install-tokens HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\nContent-Length: 500000\r\n\r\n{`,
  'a GET with a body': `GET /install-token HTTP/1.1\r\n${PAGE}Content-Length: 10\r\n\r\n1`,
};

t.test('a request whose body has not arrived takes no place from others', async (t) => {
  for (const [name, bytes] of Object.entries(slow))
    await t.test(name, async (t) => {
      const { url, send } = await open(t as Test, 2);
      await Promise.all(Array.from({ length: 20 }, () => send(bytes)));
      for (let n = 0; n < 5; n++) t.equal((await post(`${url}/install-token`, {})).status, 200);
    });
});

t.test('a body that arrives in pieces is answered as one that arrives at once', async (t) => {
  const { url, send } = await open(t);
  const body = JSON.stringify({ account: 'x'.repeat(200) });
  const head = `POST /install-token HTTP/1.1\r\n${PAGE}Content-Type: application/json\r\n`;
  const padded = JSON.stringify({ apps: [], padding: 'x'.repeat(63_000) });
  for (const [name, pieces, status] of [
    ['after the header fields', [`${head}Content-Length: ${body.length}\r\n\r\n`, body], '200'],
    ['byte by byte', [`${head}Content-Length: ${body.length}\r\n\r\n`, ...body], '200'],
    ['chunked', [`${head}Transfer-Encoding: chunked\r\n\r\n`, `2\r\n{}\r\n`, '0\r\n\r\n'], '200'],
    ['not JSON', [`${head}Content-Length: 4\r\n\r\n`, '{no', '}'], '400'],
    ['too long for its path', [`${head}Content-Length: 20000\r\n\r\n`, 'x'.repeat(10_000), 'x'.repeat(10_000)], '413'],
    ['longer than the buffer', [`${head}Content-Length: 200000\r\n\r\n`, 'x'.repeat(150_000)], '413'],
    [
      'nearly as long as a device may send',
      [
        `POST /marketplace-kit/restore HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${padded.length}\r\n\r\n`,
        padded.slice(0, 30_000),
        padded.slice(30_000),
      ],
      '200',
    ],
  ] as const) {
    const socket = await send('');
    socket.setNoDelay(true);
    for (const piece of pieces) await new Promise<void>((done) => socket.write(piece, () => setImmediate(done)));
    const [answer] = await once(socket, 'data');
    t.match(String(answer), `HTTP/1.1 ${status} `, name);
  }
  t.equal((await fetch(`${url}/health/live`)).status, 200);
});

t.test('a body in a coding is refused, whether it is one or only says so', async (t) => {
  const { send } = await open(t);
  const bodies = {
    gzip: gzipSync,
    'x-gzip': gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
  };
  const plain = (bytes: Buffer) => bytes;
  const codings = { ...bodies, 'gzip, gzip': plain, GZIP: gzipSync, unknown: plain };
  for (const [coding, encode] of Object.entries(codings))
    for (const path of ['/install-token', '/install-tokens', '/installs', '/marketplace-kit/restore']) {
      const body = encode(Buffer.from('{}'));
      const socket = await send(
        `POST ${path} HTTP/1.1\r\n${PAGE}Connection: close\r\nContent-Type: application/json\r\nContent-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`,
      );
      socket.write(body);
      const answer = await text(socket);
      // A batch needs an API key, which is the first thing that counts.
      t.match(
        answer,
        path === '/install-tokens' ? / 401 / : /^HTTP\/1.1 415 [\s\S]*accept-encoding: identity\r\n/i,
        coding,
      );
    }
  for (const [field, status] of [
    ['Content-Encoding: identity', 200],
    ['Content-Encoding: Identity', 200],
    ['Transfer-Encoding: gzip, chunked', 400],
    ['Transfer-Encoding: x, chunked', 400],
    ['Transfer-Encoding: Chunked', 200],
  ] as const) {
    const length = field.startsWith('T') ? '' : 'Content-Length: 2\r\n';
    const socket = await send(
      `POST /install-token HTTP/1.1\r\n${PAGE}Connection: close\r\nContent-Type: application/json\r\n${field}\r\n${length}\r\n${length ? '{}' : '2\r\n{}\r\n0\r\n\r\n'}`,
    );
    t.match(await text(socket), new RegExp(`^HTTP/1.1 ${status} `), field);
  }
});

t.test('one address may have only a limited number of bodies in transit', async (t) => {
  const { url, send, refused } = await open(t);
  const oldest = await send(slow['a restore'] ?? '');
  for (let n = 0; n < 64; n++) await send(slow['a token'] ?? '');
  const answer = await text(oldest);
  t.match(answer, /^HTTP\/1.1 429 /);
  t.match(answer, /retry-after: 1\r\n/i);
  t.match(answer, '"code":"rate_limited"');
  t.match(answer, /connection: close/i);
  t.equal(await refused('bodies'), 1);
  for (let n = 0; n < 100; n++) t.equal((await post(`${url}/install-token`, {})).status, 200, 'a new one is answered');
});

t.test('requests that are sent without waiting for answers', async (t) => {
  const { url, send, refused } = await open(t);
  const get = (path: string) => `GET ${path} HTTP/1.1\r\n${PAGE}\r\n`;
  const answers = await text(
    await send(`${get('/health/live').repeat(4)}GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
  );
  t.equal(answers.match(/HTTP\/1.1 200/g)?.length, 5, 'a few are answered');
  let expected = 0;
  for (const path of ['/docs', '/openapi.json', '/metrics', '/install-button.js', '/nothing', '/install-token']) {
    const socket = await send(get(path).repeat(1000));
    await until(async () => socket.destroyed || socket.closed, `${path}: the connection is closed`);
    expected += 1;
    t.equal(await refused('unanswered'), expected, path);
  }
  t.equal((await post(`${url}/install-token`, {})).status, 200);
});

t.test('an address that does so again and again gets no new connection for a minute; others do', async (t) => {
  const { url, send } = await open(t);
  const isClosed = async (localAddress: string) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined).write(`GET /livez HTTP/1.1\r\n${PAGE}Connection: close\r\n\r\n`);
    return (await text(socket).catch(() => '')) === '';
  };
  const pipelined = `GET /nothing HTTP/1.1\r\n${PAGE}\r\n`.repeat(100);
  t.notOk(await isClosed('127.0.0.1'));
  for (let n = 0; n < 20; n++) {
    const socket = (await send(pipelined)).resume();
    await until(() => socket.destroyed || socket.closed, 'the connection is closed');
  }
  t.ok(await isClosed('127.0.0.1'));
  for (const address of ['127.0.0.2', '127.0.1.1', '127.1.0.1']) t.notOk(await isClosed(address), address);
});

t.test(
  'an address may send ten preflights or refused requests for each token; health and other addresses are not refused',
  async (t) => {
    const preflight = `OPTIONS /install-token HTTP/1.1\r\n${PAGE}Access-Control-Request-Method: POST\r\n`;
    for (const head of [
      'GET /nothing HTTP/1.1\r\nHost: x\r\n',
      'PROPFIND /livez HTTP/1.1\r\nHost: x\r\n',
      'POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n',
      'HEAD /install-token HTTP/1.1\r\nHost: x\r\n',
      preflight,
    ]) {
      const { url, refused } = await open(t as Test, 1000, { WEBDIST_RATE_LIMIT_ADDRESS: '2' });
      const send = async (localAddress: string, start: string) => {
        const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
        socket.write(`${start}Connection: close\r\n\r\n`);
        return text(socket);
      };
      for (let n = 0; n < 20; n++) t.notMatch(await send('127.0.0.2', head), /^HTTP\/1.1 429/);
      const refusals = await Promise.all(Array.from({ length: 10 }, () => send('127.0.0.2', head)));
      for (const refusal of refusals) t.match(refusal, /^HTTP\/1.1 429 [\s\S]*retry-after: 1\r\n/i, head);
      t.notMatch(await send('127.0.0.3', head), /^HTTP\/1.1 429/, 'another address');
      t.match(await send('127.0.0.2', 'GET /livez HTTP/1.1\r\nHost: x\r\n'), /^HTTP\/1.1 200/, 'health');
      t.equal(await refused('requests'), 10);
    }
  },
);

t.test('requests of a server with an API key are not counted', async (t) => {
  const settings = { WEBDIST_RATE_LIMIT_ADDRESS: '1', WEBDIST_API_KEYS: `server:${hash('sha256', 'key')}` };
  const { url } = await open(t, 1000, settings);
  for (let n = 0; n < 30; n++) {
    const answer = await post(`${url}/install-token`, {}, { authorization: 'Bearer key' });
    t.equal(answer.status, 200);
  }
});

t.test('what Node’s parser refuses is a problem document', async (t) => {
  const { send } = await open(t);
  for (const [bytes, status, code] of [
    ['NONSENSE\r\n\r\n', 400, 'invalid_request'],
    ['GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n', 400, 'invalid_request'],
    [`POST /install-token HTTP/1.1\r\n${PAGE}Content-Length: x\r\n\r\n`, 400, 'invalid_request'],
    ['GET /health/live HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    [`GET / HTTP/1.1\r\nHost: x\r\nLong: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    [
      `POST /installs HTTP/1.1\r\n${PAGE}Expect: the impossible\r\nContent-Length: 2\r\n\r\n{}`,
      417,
      'expectation_failed',
    ],
    ['\u0016\u0003\u0001\u0002', 400, 'invalid_request'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
    ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\nabc', 405, 'method_not_allowed'],
    ['CONNECT evil.example:443 HTTP/1.0\r\n\r\n', 405, 'method_not_allowed'],
    ['GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n', 400, 'invalid_request'],
    ['GET /livez HTTP/1.1\nHost: x\n\n', 400, 'invalid_request'],
    ['GET /livez HTTP/1.1\r\nHost: x\r\nA: a\r\n b\r\n\r\n', 400, 'invalid_request'],
    ['GET /livez HTTP/1.1\r\nHost: x\r\nA: a\u0000b\r\n\r\n', 400, 'invalid_request'],
    [`POST /installs HTTP/1.1\r\n${PAGE}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400, 'invalid_request'],
    [
      `POST /installs HTTP/1.1\r\n${PAGE}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      400,
      'invalid_request',
    ],
    [`POST /installs HTTP/1.1\r\n${PAGE}Content-Length: ${'9'.repeat(20)}\r\n\r\n{}`, 400, 'invalid_request'],
    [
      `POST /installs HTTP/1.1\r\n${PAGE}Transfer-Encoding: chunked\r\n\r\n0\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      `POST /installs HTTP/1.1\r\n${PAGE}Transfer-Encoding: chunked\r\n\r\n2;${'x'.repeat(30_000)}\r\n`,
      413,
      'too_large',
    ],
  ] as const) {
    const answer = await text(await send(bytes));
    const name = JSON.stringify(bytes.slice(0, 40));
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), name);
    t.match(answer, /content-type: application\/problem\+json\r\n/i, name);
    t.match(answer, /x-content-type-options: nosniff\r\n/i, name);
    t.match(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), { status, code, type: `/problems/${code}` }, name);
  }
});

t.test('a request that does not arrive in ten seconds ends after ten to twelve', async (t) => {
  const { send } = await open(t);
  const begun = performance.now();
  const ends = Object.entries({ ...slow, 'header fields': 'GET / HTTP/1.1\r\nHost: x\r\nA: ' }).map(
    async ([name, bytes]) => {
      const answer = await text(await send(bytes));
      const seconds = (performance.now() - begun) / 1000;
      return { name, answer, seconds };
    },
  );
  for (const { name, answer, seconds } of await Promise.all(ends)) {
    t.ok(seconds > 9.5 && seconds < 12.5, `${name}: after ${seconds.toFixed(1)} s`);
    t.match(answer, /^(HTTP\/1.1 408 [\s\S]*"code":"request_timeout"|HTTP\/1.1 401 )/, name);
  }
});
