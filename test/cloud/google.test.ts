import t from 'tap';
import { crc32c, matchesCrc32c } from '../../src/cloud/google.ts';

t.test('CRC32C as in RFC 3720 appendix B.4', async (t) => {
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  t.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  t.equal(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index))), 0x46dd794e);
  t.equal(crc32c(Buffer.alloc(0)), 0);
});

t.test('a checksum may be absent, a text, or an Int64Value', async (t) => {
  const data = Buffer.alloc(32);
  for (const right of [undefined, null, '2324772522', 2324772522, { value: '2324772522' }])
    t.ok(matchesCrc32c(data, right));
  for (const wrong of ['1', { value: '1' }, 'x']) t.notOk(matchesCrc32c(data, wrong));
});
