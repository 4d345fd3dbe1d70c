/** Nonces are random UUIDs of version 4 in upper case, never the same twice, and those made in a row lie side by side. */

import t from 'tap';
import { newNonce } from '../../src/install-token/nonce.ts';

const MANY = 100_000;

t.test('nonces', async (t) => {
  const nonces = Array.from({ length: MANY }, newNonce);
  const odd = nonces.filter(
    (nonce) => !/^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/.test(nonce),
  );
  t.strictSame(odd, [], 'are UUIDs of version 4 (RFC 9562 §5.4) in upper case');
  t.equal(new Set(nonces).size, MANY, 'never come twice');
  const beginnings = new Set(nonces.map((nonce) => nonce.slice(0, 8)));
  t.ok(beginnings.size >= MANY / 256 && beginnings.size <= MANY / 256 + 2, 'begin alike, 256 in a row');
  t.equal(new Set(nonces.map((nonce) => nonce.slice(-12))).size, MANY, 'and have nothing else in common');
});
