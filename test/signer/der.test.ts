import { generateKeyPairSync, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { hasCode } from '../../src/errors.ts';
import { derToRaw } from '../../src/signer/der.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

t.test('every signature becomes 64 bytes that verify, also with a short r or s', async (t) => {
  // One signature in 128 has an r or s with a leading zero byte; 1000 signatures practically always contain some.
  for (let index = 0; index < 1000; index++) {
    const data = Buffer.from(`message ${index}`);
    const raw = derToRaw(sign('sha256', data, privateKey), 'test');
    if (raw.length !== 64 || !verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw))
      return t.fail(`message ${index}`);
  }
  t.pass();
});

t.test('r and s of one byte', async (t) => {
  const raw = derToRaw(Buffer.from('3006020101020102', 'hex'), 'test');
  t.equal(Buffer.from(raw).toString('hex'), `${'1'.padStart(64, '0')}${'2'.padStart(64, '0')}`);
});

t.test('anything but a P-256 signature is refused with the name of the key', async (t) => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
  const whole = sign('sha256', Buffer.from('a'), privateKey);
  for (const der of [Buffer.alloc(0), Buffer.alloc(64), whole.subarray(0, -1), sign('sha384', Buffer.from('a'), p384)])
    t.throws(() => derToRaw(der, 'The AWS KMS key a'), { code: 'key_unreachable', message: /AWS KMS/ });
});

t.test('random bytes give 64 bytes or key_unreachable, nothing else', async () => {
  const sequence = fc.uint8Array({ maxLength: 80 }).map((body) => Uint8Array.from([0x30, body.length, 0x02, ...body]));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), sequence), (der) => {
      try {
        return derToRaw(der, 'test').length === 64;
      } catch (error) {
        return hasCode(error, 'key_unreachable');
      }
    }),
  );
});
