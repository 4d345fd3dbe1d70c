/** Which failures the button retries by itself. */

import t from 'tap';
import { Link } from '../../src/browser/install-button-link.ts';

// Node.js has no `onLine`.
Object.defineProperty(navigator, 'onLine', { value: true });

/** How long the button waits after this answer, in milliseconds; Infinity: it does not retry by itself. */
async function waitAfter(send: () => Promise<Response>): Promise<number> {
  const answered = Promise.withResolvers<void>();
  const link = new Link(send, () => answered.resolve());
  link.check(true);
  await answered.promise;
  return (link.failure?.waitUntil ?? 0) - Date.now();
}

t.test('what a later request may get is retried by itself, after one to two seconds at first', async (t) => {
  for (const status of [408, 425, 429, 500, 502, 503, 504])
    t.ok((await waitAfter(async () => new Response('', { status }))) <= 2000, String(status));
  t.ok((await waitAfter(() => Promise.reject(new TypeError('Failed to fetch')))) <= 2000, 'no answer');
});

t.test('a wait that the server named is kept', async (t) => {
  for (const status of [408, 429, 503]) {
    const wait = await waitAfter(async () => new Response('', { status, headers: { 'retry-after': '30' } }));
    t.ok(wait > 29_000 && wait <= 31_000, `${status}: ${wait} ms`);
  }
});

t.test('what a later request would get as well is not', async (t) => {
  for (const status of [400, 401, 403, 404, 413, 415, 422])
    t.equal(await waitAfter(async () => new Response('{}', { status })), Infinity, String(status));
});
