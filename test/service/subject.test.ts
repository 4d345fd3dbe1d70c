/** One keyed hash gives the cookie's signature and the subject's tag, which share no bit. */

import { createHash } from 'node:crypto';
import t from 'tap';
import { subjectHashes } from '../../src/service/subject.ts';

const KEY = Buffer.from('key of a test');
const hash = subjectHashes(KEY);
const device = (id: string) => ({ kind: 'device', id }) as const;

t.test('a known answer', async (t) => {
  const digest = createHash('sha3-512').update(KEY.toString('hex')).update('device\0some id').digest('hex');
  const { signature, tag, tagText } = hash(device('some id'));
  t.equal(Buffer.from(signature, 'base64url').toString('hex'), digest.slice(0, 64));
  t.equal(BigInt(tag), BigInt(`0x${digest.slice(64, 76)}`) % 2n ** 45n);
  t.equal(tagText, tag.toString(16).padStart(12, '0'));
});

t.test('differs by key, kind and id', async (t) => {
  const hashes = [
    hash(device('a')),
    hash(device('b')),
    hash({ kind: 'caller', id: 'a' }),
    subjectHashes(Buffer.from('another key'))(device('a')),
  ];
  t.equal(new Set(hashes.map(({ tag }) => tag)).size, 4);
  t.equal(new Set(hashes.map(({ signature }) => signature)).size, 4);
  t.strictSame(hash(device('a')), hashes[0], 'and by nothing else');
});

t.test('tags are spread over 45 bits', async (t) => {
  const tags = Array.from({ length: 20_000 }, (_, index) => hash(device(`${index}`)).tag);
  t.equal(new Set(tags).size, tags.length);
  t.ok(
    tags.some((tag) => tag < 2 ** 40),
    'some have zeros in front',
  );
  t.ok(tags.every((tag) => Number.isInteger(tag) && tag >= 0 && tag < 2 ** 45));
  for (let bit = 0; bit < 45; bit++) {
    const ones = tags.filter((tag) => Math.floor(tag / 2 ** bit) % 2 === 1).length;
    // The standard deviation is 71.
    if (Math.abs(ones - 10_000) > 400) t.fail(`bit ${bit} is set in ${ones} of 20,000`);
  }
});
