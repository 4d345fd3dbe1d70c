/** The bot challenge: which requests it applies to, what is sent to its server, and what happens when that fails. */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { listen } from '../harness/port.ts';
import { settingsIn, startReady } from '../harness/service.ts';

const SECRET = 'the-secret-of-the-site';
const API_KEY = 'key-of-the-shop-0123456789';

/** A server with the protocol of siteverify, on which every response is valid once. */
async function startVerifier(t: Test, valid: readonly string[]) {
  const left = new Set(valid);
  const forms: Record<string, string>[] = [];
  let answer: ((response: ServerResponse) => void) | undefined;
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    forms.push(form);
    if (answer) return answer(response);
    const success = form['secret'] === SECRET && left.delete(form['response'] ?? '');
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ success, 'error-codes': [] }));
  });
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${await listen(server)}/siteverify`;
  const answerWith = (next: typeof answer) => {
    answer = next;
  };
  return { url, forms, answerWith };
}

t.test('a page needs a valid response for each token; servers and devices need none', async (t) => {
  const verifier = await startVerifier(t, ['one', 'two', 'three']);
  const { url, log } = await startReady(
    t,
    undefined,
    settingsIn(temporaryFolder(t), {
      WEBDIST_CHALLENGE: verifier.url,
      WEBDIST_CHALLENGE_SECRET: SECRET,
      WEBDIST_API_KEYS: `shop:${createHash('sha256').update(API_KEY).digest('hex')}`,
      WEBDIST_PACKAGE_URL: 'https://shop.example.com/adp/trailmap',
      WEBDIST_LICENSE_DYNAMIC_URL: 'https://shop.example.com/license',
    }),
  );
  const ask = (body: object) => post(`${url}/install-token`, body);
  t.match(await ask({}), { status: 403, body: { code: 'challenge_failed', detail: /^challenge: is required/ } });
  t.equal((await ask({ challenge: 'one' })).status, 200);
  t.match(await ask({ challenge: 'one' }), { status: 403, body: { code: 'challenge_failed', detail: /used before/ } });
  t.match(await ask({ challenge: 'made up' }), { status: 403, body: { code: 'challenge_failed' } });
  t.match(await ask({ challenge: 'x'.repeat(5000) }), { status: 400, body: { code: 'invalid_request' } });
  const inQuery = await fetch(`${url}/install-token?challenge=two`, {
    headers: { origin: 'https://shop.example.com' },
  });
  t.equal(inQuery.status, 200, 'in a query, too');
  t.strictSame(verifier.forms[0], { secret: SECRET, response: 'one', remoteip: '127.0.0.1' });
  t.equal(verifier.forms.length, 4, 'nothing is sent for a request without a response');

  const server = await fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
    body: '{}',
  });
  t.equal(server.status, 200, 'a server');
  const apps = [{ appleItemId: '6500000001', appleVersionId: '1' }];
  t.match(
    await post(`${url}/marketplace-kit/restore`, { apps }),
    { status: 200, body: { restores: [{}] } },
    'a device',
  );
  t.equal(verifier.forms.length, 4);

  for (const [name, answer] of [
    ['status 500', (response) => response.writeHead(500).end('{"success":true}')],
    ['not JSON', (response) => response.end('success')],
    ['another document', (response) => response.end('{"ok":true}')],
    ['an HTML page', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('{"success":true}')],
    ['a redirect', (response) => response.writeHead(302, { location: verifier.url }).end()],
    ['no answer', (response) => response.destroy()],
    ['too much', (response) => response.end(JSON.stringify({ success: true, more: 'x'.repeat(100_000) }))],
  ] as [string, (response: ServerResponse) => void][]) {
    verifier.answerWith(answer);
    t.match(
      await ask({ challenge: 'three' }),
      { status: 503, body: { code: 'challenge_unavailable' } },
      `${name}: no token without a verdict`,
    );
  }
  verifier.answerWith(undefined);
  t.equal((await ask({ challenge: 'three' })).status, 200, 'afterwards');
  t.notOk(log.text().includes(SECRET), 'the secret is in no log');
});
