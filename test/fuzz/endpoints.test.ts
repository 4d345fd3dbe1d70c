/** Whatever is sent to any path, the answer is no 500, is a problem when it is an error, and the log holds no secret. */

import fc from 'fast-check';
import t from 'tap';
import { startReady, startSandbox } from '../running.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);

const paths = [
  '/install-token',
  '/install-tokens',
  '/installs',
  '/oauth/token',
  '/marketplace-kit/restore',
  '/marketplace-kit/updates',
  '/.well-known/marketplace-kit',
  '/.well-known/jwks.json',
  '/health/ready',
  '/openapi.json',
];

const fields = [
  'app',
  'bundleId',
  'account',
  'token',
  'subject',
  'dtype',
  'nonce',
  'requests',
  'redownload',
  'country',
];
const body = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()).map((value) => JSON.stringify(value)),
);
const header = fc.stringMatching(/^[\x21-\x7e]{1,60}$/);
const requests = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'),
  path: fc.constantFrom(...paths),
  query: fc.oneof(fc.constant(''), fc.webQueryParameters()),
  type: fc.constantFrom(
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/json; charset=x',
  ),
  headers: fc.dictionary(
    fc.constantFrom('authorization', 'cookie', 'origin', 'x-forwarded-for', 'sec-fetch-site'),
    header,
  ),
  body,
});

t.test('any request to any path', async (t) => {
  const running = await startReady(t, await startSandbox(t), {
    WEBDIST_RATE_LIMIT: '1000000000',
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000000',
    WEBDIST_ANONYMOUS: 'any',
  });
  await fc.assert(
    fc.asyncProperty(requests, async ({ method, path, query, type, headers, body }) => {
      const takesBody = method !== 'GET' && method !== 'HEAD';
      const answer = await fetch(`${running.url}${path}${query && `?${query}`}`, {
        method,
        headers: { ...headers, ...(takesBody && { 'content-type': type }) },
        ...(takesBody && { body }),
      });
      const text = await answer.text();
      if (answer.status >= 500) throw new Error(`${answer.status}: ${text}`);
      if (answer.status >= 400 && text) {
        const problem = JSON.parse(text) as { code?: string; error?: string };
        if (!problem.code && !problem.error) throw new Error(`no problem: ${text}`);
      }
    }),
    { numRuns },
  );
  t.equal((await fetch(`${running.url}/health/ready`)).status, 200, `ready after ${numRuns} requests`);
  t.notMatch(running.log.text(), /eyJ[\w-]+\.eyJ/, 'no token in the log');
});
