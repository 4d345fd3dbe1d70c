/** Reading responses of other servers is bounded, whatever they send. */

import { createServer, type ServerResponse } from 'node:http';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import t from 'tap';
import { isPrivateTarget, readUrl, redirectTarget } from '../src/outbound.ts';
import { listen } from './harness/port.ts';

const bomb = gzipSync(Buffer.alloc(1e8));
const zeros = Buffer.alloc(1e7);
const otherBombs = { deflate: deflateSync(zeros), br: brotliCompressSync(zeros), zstd: zstdCompressSync(zeros) };
const twice = gzipSync(bomb);
/** Long enough for a busy machine. */
const bounds = { maxBytes: 1000, timeoutMs: 20_000 };
const soon = { timeoutMs: 300 };

const answers: Readonly<
  Record<string, { answer: (response: ServerResponse) => void; problem?: RegExp; timeoutMs?: number }>
> = {
  'a short body': { answer: (response) => response.end('{}') },
  'a body at the bound': { answer: (response) => response.end('x'.repeat(1000)) },
  'a compressed body': {
    answer: (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(1000))),
  },
  'one byte more': { answer: (response) => response.end('x'.repeat(1001)), problem: /more than 1000 bytes/ },
  'a small body that decompresses to 100 MB': {
    answer: (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    problem: /more than 1000 bytes/,
  },
  ...Object.fromEntries(
    Object.entries(otherBombs).map(([coding, body]) => [
      `the same with ${coding}`,
      {
        answer: (response: ServerResponse) => response.writeHead(200, { 'content-encoding': coding }).end(body),
        problem: /more than 1000 bytes/,
      },
    ]),
  ),
  'a body compressed twice': {
    answer: (response) => response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(twice),
    problem: /more than 1000 bytes/,
  },
  'a body in a thousand codings': {
    answer: (response) =>
      response.writeHead(200, { 'content-encoding': Array(1000).fill('gzip').join(', ') }).end(bomb),
    problem: /fetch failed|codings|encod/i,
  },
  'header fields without end': {
    answer: (response) => response.writeHead(200, { a: 'x'.repeat(100_000) }).end('{}'),
    problem: /fetch failed/,
  },
  'a body without an end': {
    answer(response) {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    },
    problem: /abort|timeout/i,
    ...soon,
  },
  'nothing at all': { answer: () => undefined, problem: /abort|timeout/i, ...soon },
  'an error': { answer: (response) => response.writeHead(503).end('{}'), problem: /status 503/ },
  'a login page': {
    answer: (response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<p>'),
    problem: /HTML/,
  },
  'a redirect': { answer: (response) => response.writeHead(302, { location: '/x' }).end(), problem: /redirect/ },
};

t.test('bodies, statuses and time', async (t) => {
  for (const [name, { answer, problem, timeoutMs = bounds.timeoutMs }] of Object.entries(answers)) {
    const server = createServer((_request, response) => answer(response));
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${await listen(server)}/`;
    const before = process.memoryUsage().rss;
    if (problem) await t.rejects(readUrl(url, { ...bounds, timeoutMs }), { message: problem }, name);
    else t.ok((await readUrl(url, bounds)).bytes.length <= 1000, name);
    t.ok(process.memoryUsage().rss - before < 150e6, `${name}: memory`);
  }
});

t.test('redirects are followed only as often as allowed', async (t) => {
  const server = createServer(({ url }, response) =>
    url === '/3' ? response.end('there') : response.writeHead(302, { location: `/${Number(url?.slice(1)) + 1}` }).end(),
  );
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${await listen(server)}/0`;
  t.equal((await readUrl(url, { ...bounds, maxRedirects: 3 })).bytes.toString(), 'there');
  await t.rejects(readUrl(url, { ...bounds, maxRedirects: 2 }), /redirect/);
});

t.test('a redirect to itself, and one that goes back and forth', async (t) => {
  for (const next of ['/0', '/1', '?', '//127.0.0.1']) {
    let requests = 0;
    const server = createServer((_request, response) => {
      requests += 1;
      response.writeHead(302, { location: requests % 2 ? next : '/0' }).end('x'.repeat(1e6));
    });
    t.teardown(() => server.close());
    const url = `http://127.0.0.1:${await listen(server)}/0`;
    await t.rejects(readUrl(url, { ...bounds, maxRedirects: 3 }), /redirect|fetch failed/);
    t.ok(requests <= 4, `${requests} requests`);
  }
});

t.test('private targets', async (t) => {
  for (const host of [
    '127.0.0.1',
    'localhost',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[fe80::1]',
    '[fd00::1]',
    '[::ffff:169.254.169.254]',
    '[::ffff:10.0.0.1]',
    '[64:ff9b::a9fe:a9fe]',
    '2130706433',
    '0x7f.1',
    '224.0.0.1',
  ])
    t.equal(await isPrivateTarget(`https://${host}/x`), true, host);
  for (const host of ['203.0.113.7', '8.8.8.8', '172.32.0.1', '100.128.0.1', '[2001:db8::1]', '[2606:4700::1]'])
    t.equal(await isPrivateTarget(`https://${host}/x`), false, host);
  const open = new URL('https://203.0.113.7/a');
  await t.rejects(redirectTarget(open, 'https://169.254.169.254/latest/meta-data'), /private/);
  await t.rejects(redirectTarget(open, '//[::1]/'), /private/);
  await t.rejects(redirectTarget(open, 'http://203.0.113.7/a'), /protocol/);
  t.equal((await redirectTarget(open, '/b')).href, 'https://203.0.113.7/b');
  t.equal((await redirectTarget(new URL('https://10.0.0.1/a'), 'https://10.0.0.2/b')).href, 'https://10.0.0.2/b');
});
