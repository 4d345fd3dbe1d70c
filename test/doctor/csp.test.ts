/** Which Content Security Policies forbid the button and its requests. */

import t from 'tap';
import { forbiddenBy, policiesOf } from '../../src/doctor/csp.ts';

const page = new URL('https://example.com/camping');
const own = new URL('https://example.com/webdist/install-token');
const other = new URL('https://get.example.com/install-token');

const cases: readonly (readonly [policy: string, url: URL, forbidding: string | undefined])[] = [
  ['', other, undefined],
  ["img-src 'none'", other, undefined],
  ["default-src 'self'", own, undefined],
  ["default-src 'self'", other, 'default-src'],
  ["default-src 'none'; connect-src 'self'", own, undefined],
  ["connect-src 'none'", own, 'connect-src'],
  ['connect-src', own, 'connect-src'],
  ['connect-src *', other, undefined],
  ['connect-src https:', other, undefined],
  ['connect-src http:', other, 'connect-src'],
  ['connect-src https://get.example.com', other, undefined],
  ['connect-src get.example.com', other, undefined],
  ['connect-src GET.Example.com:443', other, undefined],
  ['connect-src get.example.com:8443', other, 'connect-src'],
  ['connect-src *.example.com', other, undefined],
  ['connect-src *.example.com', own, 'connect-src'],
  ['connect-src https://example.com/webdist/', own, undefined],
  ['connect-src https://example.com/other/', own, 'connect-src'],
  ['connect-src https://example.com/webdist/install-token', own, undefined],
  ["Connect-Src 'SELF'", own, undefined],
];
for (const [policy, url, forbidding] of cases)
  t.equal(forbiddenBy([policy], 'connect-src', url, page), forbidding, `${policy} | ${url.href}`);

t.equal(forbiddenBy(["script-src 'nonce-x' 'strict-dynamic'"], 'script-src', other, page), undefined, 'a nonce');
t.equal(forbiddenBy(["script-src-elem 'none'; script-src *"], 'script-src', other, page), 'script-src-elem');
t.equal(
  forbiddenBy(['connect-src *', "default-src 'none'"], 'connect-src', other, page),
  'default-src',
  'every policy counts',
);
t.strictSame(policiesOf("default-src 'self', img-src *", '<meta name=a content="b">'), [
  "default-src 'self'",
  ' img-src *',
]);
t.strictSame(policiesOf(undefined, `<META content="connect-src 'none'" http-equiv=Content-Security-Policy>`), [
  "connect-src 'none'",
]);
