/** Nonces carry their record, only for the holders of the key; to everyone else they are random UUIDs of version 4. */

import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { openNonces, SUBJECT_BITS } from '../../src/install-token/nonce.ts';

const KEY = Buffer.from('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex');
const [APP, OTHER] = ['6500000001', '6500000002'];
const SUBJECT = 0x2468acf1357;
const NOW = 1_795_000_000;
const MINUTE = Math.floor(NOW / 60) * 60;
const UUID_V4 = /^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/;

/** Nonces whose first counter is given; every random subject is 7. */
const noncesFrom = (counter: number, apps = [APP, OTHER], key: Uint8Array = KEY) =>
  openNonces(key, apps, (max) => (max === 2 ** SUBJECT_BITS ? 7 : counter));

/**
 * Worked out by hand: minute (24 bits), app tag (27), subject (45), counter (32), in one number of 128 bits. The app tags
 * are the first 32 bits of SHA-256 of `subject 6500000001` and so on, modulo 2^27.
 */
const blockOf = (minute: number, app: number, subject: number, counter: number) =>
  ((BigInt(minute) << 104n) | (BigInt(app) << 77n) | (BigInt(subject) << 32n) | BigInt(counter))
    .toString(16)
    .padStart(32, '0');

const LAST_MINUTE = Date.UTC(2026, 0) / 1000 + (2 ** 24 - 1) * 60;

/** Record; initial counter; the block that became the first UUID, with its counter; its encryption. */
const vectors = [
  {
    record: { appleItemId: APP, subject: SUBJECT, issuedAtSeconds: NOW },
    counter: 0,
    block: blockOf(462_906, 0x440a710, SUBJECT, 0x52),
    hex: '07103a8814e202468acf135700000052',
    nonce: '9DB499F6-0495-43F1-AA50-4309B5FB2CA8',
  },
  {
    record: { appleItemId: APP, subject: SUBJECT, issuedAtSeconds: NOW },
    counter: 0xfffffff0,
    block: blockOf(462_906, 0x440a710, SUBJECT, 0x52),
    hex: '07103a8814e202468acf135700000052',
    nonce: '9DB499F6-0495-43F1-AA50-4309B5FB2CA8',
  },
  {
    record: { appleItemId: APP, subject: 0, issuedAtSeconds: Date.UTC(2026, 0) / 1000 },
    counter: 0,
    block: blockOf(0, 0x440a710, 0, 0x16),
    hex: '0000008814e200000000000000000016',
    nonce: '799A1E44-DB63-496D-9481-7A7ADB53D354',
  },
  {
    record: { appleItemId: OTHER, subject: 2 ** 45 - 1, issuedAtSeconds: LAST_MINUTE },
    counter: 0,
    block: blockOf(2 ** 24 - 1, 0x4bbcc5, 2 ** 45 - 1, 0x0a),
    hex: 'ffffff097798bfffffffffff0000000a',
    nonce: 'C4232378-5956-499D-A9C0-B60E95AD4527',
  },
  {
    record: { appleItemId: APP, subject: undefined, issuedAtSeconds: NOW },
    counter: 7,
    block: blockOf(462_906, 0x5eb551a, 7, 0x82),
    hex: '07103abd6aa340000000000700000082',
    nonce: 'A34F7C50-3FB8-4201-93EC-FFAFC2B18982',
  },
];

t.test('known answers, checked by openssl', async (t) => {
  for (const { record, counter, block, hex, nonce } of vectors) {
    t.equal(block, hex, 'the block, twice by hand');
    t.equal(noncesFrom(counter).seal(record), nonce);
    const opened = noncesFrom(0).open(nonce, record.issuedAtSeconds);
    t.strictSame(opened, { ...record, issuedAtSeconds: Math.floor(record.issuedAtSeconds / 60) * 60 });
    const { error, stdout } = spawnSync('openssl', ['enc', '-d', '-aes-256-ecb', '-K', KEY.toString('hex'), '-nopad'], {
      input: Buffer.from(nonce.replaceAll('-', ''), 'hex'),
    });
    if (error) t.comment(`openssl cannot be run here: ${error.message}`);
    else t.equal(stdout.toString('hex'), hex, 'openssl decrypts the nonce to that block');
  }
});

t.test('a sealed record opens again, to the minute', async (t) => {
  const nonces = openNonces(randomBytes(32), [APP, OTHER]);
  const record = fc.record({
    appleItemId: fc.constantFrom(APP, OTHER),
    subject: fc.option(
      fc.nat({ max: 2 ** 31 - 1 }).map((n) => n * 2 ** 14 + (n % 2 ** 14)),
      { nil: undefined },
    ),
    issuedAtSeconds: fc.integer({ min: 0, max: 2 ** 33 }),
  });
  fc.assert(
    fc.property(record, fc.integer({ min: -24 * 3600, max: 31 * 365 * 86_400 }), (sealed, laterSeconds) => {
      const nonce = nonces.seal(sealed);
      const opened = nonces.open(nonce, sealed.issuedAtSeconds + laterSeconds);
      return (
        UUID_V4.test(nonce) &&
        opened?.appleItemId === sealed.appleItemId &&
        opened.subject === sealed.subject &&
        opened.issuedAtSeconds === Math.floor(sealed.issuedAtSeconds / 60) * 60
      );
    }),
    { numRuns: 5000 },
  );
  t.pass('5000 records');
});

t.test('every change to a nonce', async (t) => {
  const record = { appleItemId: APP, subject: SUBJECT, issuedAtSeconds: MINUTE };
  const nonce = openNonces(KEY, [APP, OTHER]).seal(record);
  const opens = (nonces = noncesFrom(0), atSeconds = NOW, text = nonce) => nonces.open(text, atSeconds);
  t.strictSame(opens(), record, 'opened by another replica, or after a restart');
  t.strictSame(opens(noncesFrom(1, [OTHER, APP])), record, 'by a replica that lists the apps in another order');
  t.strictSame(opens(noncesFrom(0), NOW, nonce.toLowerCase()), record, 'in lower case');
  t.strictSame(opens(noncesFrom(0), NOW + 40 * 86_400), record, 'after 40 days: its minute is still known');
  t.strictSame(opens(noncesFrom(0), MINUTE - 24 * 3600), record, 'by a replica whose clock is 24 hours behind');
  const furtherBehind = opens(noncesFrom(0), MINUTE - 24 * 3600 - 16 * 60)?.issuedAtSeconds ?? 0;
  t.ok(furtherBehind < NOW - 31 * 365 * 86_400, '24 hours and 16 minutes: no');
  t.equal(opens(noncesFrom(0, [APP, OTHER], randomBytes(32))), undefined, 'with another secret');
  t.equal(opens(noncesFrom(0, [OTHER])), undefined, 'where its app is not served');
  for (const text of ['', 'x', nonce.slice(1), `${nonce}0`, nonce.replaceAll('-', ''), nonce.replace(/./, 'G')])
    t.equal(opens(noncesFrom(0), NOW, text), undefined, `"${text}" is not a UUID`);

  const bits = Buffer.from(nonce.replaceAll('-', ''), 'hex');
  const withBitFlipped = (bit: number) => {
    const flipped = Buffer.from(bits);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (0x80 >> (bit & 7)), bit >> 3);
    return flipped.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
  const openedAfterFlip = Array.from({ length: 128 }, (_, bit) => opens(noncesFrom(0), NOW, withBitFlipped(bit)));
  t.strictSame(
    openedAfterFlip.filter((opened) => opened !== undefined),
    [],
    'with any one of its 128 bits flipped, the 122 free ones and the 6 fixed ones',
  );
});

/** A UUID that looks random and is the same in every run. */
const pseudoRandomUuid = (seed: number) =>
  createHash('md5')
    .update(`${seed}`)
    .digest('hex')
    .replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-a$4-$5');

t.test('random UUIDs are not ours', async (t) => {
  // With 3000 apps, of 100,000 random UUIDs 6000 · 10^5 / 2^27 = 4.5 open at all, and their minutes are spread over 32 years.
  const apps = Array.from({ length: 3000 }, (_, index) => `${6_500_000_000 + index}`);
  const nonces = noncesFrom(0, apps);
  let opened = 0;
  let inTime = 0;
  for (let count = 0; count < 100_000; count++) {
    const record = nonces.open(pseudoRandomUuid(count), NOW);
    if (!record) continue;
    opened++;
    if (NOW - record.issuedAtSeconds < 86_460) inTime++;
  }
  t.ok(opened < 30, `${opened} of 100,000 opened, 4.5 expected`);
  t.equal(inTime, 0, 'none to a minute of the last day');
});

t.test('apps whose tags would be equal get different ones', async (t) => {
  const apps = Array.from({ length: 20_000 }, (_, index) => `${index}`);
  // 40,000 tags out of 2^27: about six pairs are equal.
  const nonces = noncesFrom(0, apps);
  const wrong = apps.filter((appleItemId) => {
    const nonce = nonces.seal({ appleItemId, subject: 1, issuedAtSeconds: NOW });
    return nonces.open(nonce, NOW)?.appleItemId !== appleItemId;
  });
  t.strictSame(wrong, []);
  t.throws(() => noncesFrom(0).seal({ appleItemId: '1', subject: 1, issuedAtSeconds: NOW }), /not one of the apps/);
});

const MANY = 100_000;
/**
 * Nonces of one device, app and minute, which differ only in the counter. The key and the counter are fixed, so the
 * figures are, too.
 */
const alike = (() => {
  const nonces = noncesFrom(0xfff00000);
  return Array.from({ length: MANY }, () =>
    nonces.seal({ appleItemId: APP, subject: SUBJECT, issuedAtSeconds: MINUTE }),
  );
})();
const alikeBytes = alike.map((nonce) => Buffer.from(nonce.replaceAll('-', ''), 'hex'));
const bitOf = (bytes: Buffer, bit: number) => ((bytes[bit >> 3] as number) >> (7 - (bit & 7))) & 1;
const FIXED = new Set([48, 49, 50, 51, 64, 65]);
const FREE = Array.from({ length: 128 }, (_, bit) => bit).filter((bit) => !FIXED.has(bit));

t.test('nonces of one device, app and minute', async (t) => {
  t.equal(
    alike.findIndex((nonce) => !UUID_V4.test(nonce)),
    -1,
    'are UUIDs of version 4 in upper case',
  );
  t.equal(new Set(alike).size, MANY, 'never repeat');
  const starts = alike.map((nonce) => nonce.slice(0, 8));
  // Birthday paradox: among 10^5 values of 2^32, 1.2 pairs are equal.
  t.ok(MANY - new Set(starts).size < 8, 'do not share their first 32 bits');
});

t.test('the 122 free bits look random', async (t) => {
  const sigma = Math.sqrt(MANY) / 2;
  const worst = Math.max(
    ...FREE.map((bit) => Math.abs(alikeBytes.reduce((n, bytes) => n + bitOf(bytes, bit), 0) - MANY / 2) / sigma),
  );
  t.ok(
    worst < 4.5,
    `monobit: of 122 bits, the one furthest from a half is ${worst.toFixed(1)} standard deviations off`,
  );

  // In 14 bytes, all bits are free: 255 degrees of freedom, so mean 255 and standard deviation 22.6.
  const chiSquares = Array.from({ length: 16 }, (_, at) => at)
    .filter((at) => at !== 6 && at !== 8)
    .map((at) => {
      const counts = new Array<number>(256).fill(0);
      for (const bytes of alikeBytes) counts[bytes[at] as number] = (counts[bytes[at] as number] as number) + 1;
      return counts.reduce((sum, count) => sum + (count - MANY / 256) ** 2 / (MANY / 256), 0);
    });
  for (const [index, value] of chiSquares.entries())
    t.ok(Math.abs(value - 255) < 5 * 22.6, `chi-square of byte ${index}: ${value.toFixed(0)}, 255 expected`);

  const ones = Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);
  // The fixed bits are equal.
  const distance = (one: Buffer, other: Buffer) =>
    one.reduce((sum, byte, at) => sum + (ones[byte ^ (other[at] as number)] as number), 0);
  for (const gap of [1, 2, 63, 64, 256]) {
    const distances = Array.from({ length: 20_000 }, (_, index) =>
      distance(alikeBytes[index] as Buffer, alikeBytes[index + gap] as Buffer),
    );
    const mean = distances.reduce((sum, one) => sum + one, 0) / distances.length;
    const deviation = Math.sqrt(distances.reduce((sum, one) => sum + (one - mean) ** 2, 0) / distances.length);
    // For two random nonces: mean 61, standard deviation 5.52. The mean of 20,000 is known to 0.04.
    t.ok(Math.abs(mean - 61) < 0.2, `differ in ${mean.toFixed(2)} of 122 bits, ${gap} apart`);
    t.ok(Math.abs(deviation - Math.sqrt(122) / 2) < 0.15, `give or take ${deviation.toFixed(2)}`);
  }

  const sample = alikeBytes.slice(0, 10_000);
  const columns = FREE.map((bit) => Uint8Array.from(sample, (bytes) => bitOf(bytes, bit)));
  let strongest = 0;
  for (const [index, column] of columns.entries())
    for (const other of columns.slice(0, index)) {
      let equal = 0;
      for (let row = 0; row < column.length; row++) if (column[row] === other[row]) equal++;
      strongest = Math.max(strongest, Math.abs(equal - 5000) / 50);
    }
  // The largest of 7381 pairs of independent bits is at 3.8 standard deviations.
  t.ok(strongest < 5.2, `no two bits go together: at most ${strongest.toFixed(1)} standard deviations`);
});

t.test('an observer cannot count the nonces made between two of its own', async (t) => {
  // This was possible when consecutive nonces shared their first 32 bits; now every statistic is the same for every
  // gap.
  const nonces = openNonces(randomBytes(32), [APP]);
  const own = () => nonces.seal({ appleItemId: APP, subject: SUBJECT, issuedAtSeconds: MINUTE });
  const sharedBits = (between: number) => {
    let total = 0;
    for (let trial = 0; trial < 2000; trial++) {
      const before = own();
      for (let other = 0; other < between; other++)
        nonces.seal({ appleItemId: APP, subject: other, issuedAtSeconds: MINUTE });
      const after = own();
      const difference = Number.parseInt(before.slice(0, 8), 16) ^ Number.parseInt(after.slice(0, 8), 16);
      total += Math.clz32(difference);
    }
    return total / 2000;
  };
  // Two random numbers share 1 leading bit on average, with a standard deviation of 1.4 (0.03 for the mean of 2000).
  for (const between of [0, 1, 10, 100])
    t.ok(Math.abs(sharedBits(between) - 1) < 0.25, `${between} others between: one leading bit in common`);
});
