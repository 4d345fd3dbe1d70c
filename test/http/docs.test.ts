/** The documents of the API: every path under `/docs` is a document or 404, kept compressed, with an ETag. */

import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, startReady } from '../harness/service.ts';

t.test('documents', async (t) => {
  const { url, log } = await startReady(t, undefined, settingsIn(temporaryFolder(t)));
  /** Without fetch, which decompresses and normalizes paths. */
  const read = async (path: string, headers: Record<string, string> = {}) => {
    const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) =>
      get(url, { path, headers }, resolve).on('error', reject),
    );
    return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
  };
  for (const path of ['/openapi.json', '/docs', '/install-button.js', '/.well-known/marketplace-kit']) {
    const plain = await read(path);
    t.equal(plain.status, 200, path);
    t.match(plain.headers['etag'], /^"[\w-]{22}"$/, path);
    const zipped = await read(path, { 'accept-encoding': 'br, gzip' });
    const isLarge = plain.body.length > 1400;
    t.equal(zipped.headers['content-encoding'], isLarge ? 'gzip' : undefined, path);
    if (isLarge) t.ok(gunzipSync(zipped.body).equals(plain.body) && zipped.body.length < plain.body.length / 2, path);
    t.equal((await read(path, { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'], undefined, path);
    for (const tag of [plain.headers['etag'], `"other", W/${plain.headers['etag']}`, '*']) {
      const again = await read(path, { 'if-none-match': String(tag) });
      t.strictSame([again.status, again.body.length], [304, 0], `${path} ${tag}`);
    }
  }
  const first = await Promise.all(Array.from({ length: 60 }, () => read('/docs')));
  t.strictSame([...new Set(first.map(({ status }) => status))], [200], 'many requests at once');
  for (const path of [
    '/docs/static',
    '/docs/static/',
    '/docs/static/.',
    '/docs/static/..',
    '/docs/static/%2e%2e/package.json',
    '/docs/static//',
    '/docs/static/nothing',
    '/docs/static/%00',
    '/docs/static/x%00.js',
    '/docs/static/swagger-ui.css',
    '/docs/nothing',
    '/docs/static/..%2findex.js',
    '/docs/static/a:b',
    '/docs/static/*',
    `/docs/static/${'x'.repeat(5000)}`,
    '/docs//',
    '/docs/static/initOAuth',
    '/docs/static/%5c',
  ]) {
    const { status, headers } = await read(path);
    t.ok([200, 400, 404, 414].includes(status ?? 0), `${path.slice(0, 60)}: ${status}`);
    if (status !== 200) t.match(headers['content-type'], 'application/problem+json', path.slice(0, 60));
  }
  for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])
    t.ok((await fetch(`${url}/docs`, { method })).status < 500, method);
  t.strictSame(log.events('request_failed'), []);
  t.ok(readdirSync('/proc/self/fd').length < 200, 'no file stays open');
});
