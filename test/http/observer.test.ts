/**
 * An observer requests as many tokens as the rate limits allow and learns nothing from their nonces about other tokens:
 * neither how many were issued in between, nor which process issued a token, nor in which minute. Before nonces carried
 * their record, 256 in a row shared their first 32 bits; each attack is also tried on such nonces, where it succeeds.
 */

import { createHash, randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { settingsIn, startReady } from '../harness/service.ts';

const API_KEY = 'key-of-the-shop';
const SECRET = randomBytes(32).toString('hex');
const RUN = 256;
const MINUTE_MS = 60_000;

type Target = {
  /** The nonce of a token that the observer requests. */
  own(): Promise<string>;
  /** Issues tokens to others. */
  others(count: number): Promise<void>;
};

/** A process with the default rate limits, and an observer who takes a new device before the limit of each. */
async function startTarget(t: Test, now?: () => number): Promise<Target> {
  const sha256 = createHash('sha256').update(API_KEY).digest('hex');
  const limits = { WEBDIST_RATE_LIMIT: '', WEBDIST_RATE_LIMIT_ADDRESS: '' };
  const settings = { WEBDIST_API_KEYS: `shop:${sha256}`, WEBDIST_LEDGER_SECRET: SECRET, ...limits };
  const { url } = await startReady(t, undefined, settingsIn(temporaryFolder(t), settings), now ? { now } : {});
  let cookie: string | undefined;
  let tokens = 0;
  return {
    async own() {
      if (tokens++ % 59 === 0) cookie = undefined;
      const answer = await post(`${url}/install-token`, {}, cookie ? { cookie } : {});
      cookie ??= answer.cookie;
      return answer.status === 200 ? String(answer.body['nonce']) : Promise.reject(new Error(`${answer.status}`));
    },
    async others(count) {
      if (count === 0) return;
      const requests = Array.from({ length: count }, (_, index) => ({ subject: `other ${index}` }));
      await post(`${url}/install-tokens`, { requests }, { authorization: `Bearer ${API_KEY}` });
    },
  };
}

/** Nonces as they were: one after another from a run of 256 with the same first 32 bits. */
function oldTarget(): Target {
  let prefix = '';
  let left = 0;
  const next = () => {
    if (left === 0) [prefix, left] = [randomBytes(4).toString('hex').toUpperCase(), RUN];
    left -= 1;
    const rest = randomBytes(12).toString('hex').toUpperCase();
    return `${prefix}-${rest.slice(0, 4)}-4${rest.slice(5, 8)}-8${rest.slice(9, 12)}-${rest.slice(12)}`;
  };
  return {
    own: async () => next(),
    async others(count) {
      for (let n = 0; n < count; n++) next();
    },
  };
}

const upTo = (max: number) => Math.floor(Math.random() * (max + 1));
const prefixOf = (nonce: string) => nonce.slice(0, 8);

/**
 * The old attack: counts the missing nonces of a run between two changes of the first 32 bits. True where the number is
 * exact.
 */
async function countsOthers({ own, others }: Target): Promise<boolean> {
  const untilChange = async (prefix: string) => {
    for (let mine = 1, theirs = 0; ; mine++) {
      const between = upTo(8);
      await others(between);
      const nonce = await own();
      // Those of the last step may belong to either run; the observer tries every possible split.
      if (prefixOf(nonce) !== prefix) return { mine, theirs, between, nonce };
      theirs += between;
    }
  };
  const first = await untilChange(prefixOf(await own()));
  const { mine, theirs, between } = await untilChange(prefixOf(first.nonce));
  const missing = RUN - mine;
  return missing >= theirs && missing <= theirs + between + first.between;
}

t.test('counting the tokens of others by runs of nonces', async (t) => {
  const target = await startTarget(t);
  const [now, before]: boolean[][] = [[], []];
  for (let trial = 0; trial < 6; trial++) {
    now?.push(await countsOthers(target));
    before?.push(await countsOthers(oldTarget()));
  }
  t.strictSame(now, Array(6).fill(false));
  t.strictSame(before, Array(6).fill(true));
});

/** The 128 bits as 0 and 1. */
const bitsOf = (nonce: string) =>
  [
    ...BigInt(`0x${nonce.replaceAll('-', '')}`)
      .toString(2)
      .padStart(128, '0'),
  ].map(Number);

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pearson's r; 0 if one of the two never changes. */
function correlation(one: readonly number[], other: readonly number[]): number {
  const [a, b] = [one, other].map((values) => values.map((value) => value - mean(values))) as [number[], number[]];
  const product = (x: number[], y: number[]) => x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0);
  const size = Math.sqrt(product(a, a) * product(b, b));
  return size === 0 ? 0 : product(a, b) / size;
}

t.test('nothing in two nonces goes with the number of tokens between them', async (t) => {
  const target = await startTarget(t);
  const pairs: { between: number; changed: number[]; steps: number[] }[] = [];
  const wordsOf = (nonce: string) =>
    nonce
      .replaceAll('-', '')
      .match(/.{8}/g)
      ?.map((word) => Number.parseInt(word, 16));
  for (let trial = 0; trial < 250; trial++) {
    const before = await target.own();
    const between = upTo(15);
    await target.others(between);
    const after = await target.own();
    const [earlier, later] = [bitsOf(before), bitsOf(after)];
    const words = wordsOf(before) ?? [];
    pairs.push({
      between,
      changed: later.map((bit, index) => bit ^ (earlier[index] ?? 0)),
      steps: (wordsOf(after) ?? []).map((word, index) => (word - (words[index] ?? 0)) >>> 0),
    });
  }
  const counts = pairs.map(({ between }) => between);
  const features = [
    ...Array.from({ length: 128 }, (_, bit) => pairs.map(({ changed }) => changed[bit] ?? 0)),
    ...Array.from({ length: 4 }, (_, word) => pairs.map(({ steps }) => steps[word] ?? 0)),
  ];
  const strongest = Math.max(...features.map((values) => Math.abs(correlation(values, counts)) * Math.sqrt(250)));
  // Of 132 values that are independent of the counts, the largest is at 2.8 standard deviations.
  t.ok(strongest < 5, `at most ${strongest.toFixed(1)} standard deviations`);
});

t.test('the observer requests all tokens that the limits allow, and no first 32 bits repeat', async (t) => {
  const target = await startTarget(t);
  const nonces: string[] = [];
  await t.rejects(async () => {
    for (;;) nonces.push(await target.own());
  }, /429/);
  t.equal(nonces.length, 600);
  t.equal(new Set(nonces.map(prefixOf)).size, nonces.length);
});

/** How many of the nonces have the label of the other nonce that is nearest in bits: half of them, if nothing shows. */
function guessedRight(labelled: readonly { readonly nonce: string; readonly label: number }[]): number {
  const bits = labelled.map(({ nonce }) => bitsOf(nonce));
  const distance = (one: number, other: number) =>
    (bits[one] ?? []).reduce((sum, bit, index) => sum + (bit ^ (bits[other]?.[index] ?? 0)), 0);
  const right = labelled.filter(({ label }, index) => {
    const others = labelled.map((_, other) => (other === index ? Number.POSITIVE_INFINITY : distance(index, other)));
    return labelled[others.indexOf(Math.min(...others))]?.label === label;
  });
  return right.length / labelled.length;
}

t.test('grouping nonces by process and by minute', async (t) => {
  let nowMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
  const processes = [await startTarget(t, () => nowMs), await startTarget(t, () => nowMs)];
  const old = [oldTarget(), oldTarget()];
  const minted: { nonce: string; process: number; minute: number; isOld: boolean }[] = [];
  for (const minute of [0, 1]) {
    for (let n = 0; n < 100; n++)
      for (const process of [0, 1])
        for (const [isOld, targets] of [[false, processes] as const, [true, old] as const])
          minted.push({ nonce: (await targets[process]?.own()) ?? '', process, minute, isOld });
    // In a minute, others get more tokens than one run has.
    for (const target of old) await target.others(RUN);
    nowMs += MINUTE_MS;
  }
  for (const label of ['process', 'minute'] as const) {
    const of = (isOld: boolean) =>
      guessedRight(minted.filter((one) => one.isOld === isOld).map((one) => ({ nonce: one.nonce, label: one[label] })));
    // 400 guesses: a standard deviation is 2.5 %.
    t.ok(Math.abs(of(false) - 0.5) < 0.13, `${label}: ${of(false)} of the guesses are right`);
    t.ok(of(true) > 0.9, `${label}, with the old nonces: ${of(true)}`);
  }
});
