/** Old installs are deleted slowly, and only by a clock that another one confirms. */

import { pino } from 'pino';
import t from 'tap';
import { openLedger } from '../../src/ledger/ledger.ts';
import { pruneOnce } from '../../src/service/pruning.ts';

const NOW = Date.parse('2026-11-26T10:00:00Z');
const DAY = 86_400;
const RETENTION_DAYS = 365;
const YOUNG = 2000;
const OLD = 30;

/** Prunes a ledger once, by a clock that is `ahead` seconds ahead, while the other clocks are ahead of it by `offsets`. */
async function pruned(ahead: number, offsets: readonly (number | undefined)[]) {
  const ledger = await openLedger({ url: 'memory:' });
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const at = (count: number, from: number, daysAgo: number) =>
    Array.from({ length: count }, (_, index) => ({
      subject: from + index,
      appleItemId: '6500000001',
      installedAtSeconds: NOW / 1000 - daysAgo * DAY,
      redownloadAtSeconds: 0,
    }));
  await ledger.addInstalls([...at(OLD, 1, 366), ...at(YOUNG, 100_000, 30)]);
  const deps = { ledger, retentionDays: RETENTION_DAYS, log, now: () => NOW + ahead * 1000 };
  const count = await pruneOnce({ ...deps, otherClocks: async () => offsets });
  const { installs } = await ledger.stats();
  await ledger.close();
  return { count, installs, log: lines.join('') };
}

const all = OLD + YOUNG;
const deletes: [name: string, ahead: number, offsets: (number | undefined)[]][] = [
  ["Apple's clock agrees", 0, [0, undefined]],
  ["Apple's clock is unknown, PostgreSQL's agrees", 0, [undefined, 2]],
  ['both agree', 30, [-30, -31]],
];
for (const [name, ahead, offsets] of deletes)
  t.test(`${name}: a few old installs are deleted`, async (t) => {
    const { count, installs, log } = await pruned(ahead, offsets);
    t.equal(count, 10, 'no more than the bound, although 30 are old');
    t.equal(installs, all - 10);
    t.match(log, /"event":"ledger_pruned".*"installs":10/);
  });

const keeps: [name: string, ahead: number, offsets: (number | undefined)[]][] = [
  ['no other clock is known yet', 0, [undefined, undefined]],
  ...[600, DAY, 400 * DAY].flatMap((seconds): typeof deletes => [
    [`this clock is ${seconds} s ahead`, seconds, [-seconds, undefined]],
    [`this clock is ${seconds} s ahead, at start-up`, seconds, [undefined, undefined]],
    [`this clock is ${seconds} s behind`, -seconds, [seconds, seconds]],
    [`Apple's clock, or a proxy's, is ${seconds} s ahead`, 0, [seconds, 0]],
  ]),
  ["only PostgreSQL's clock agrees", 400 * DAY, [-400 * DAY, 0]],
];
for (const [name, ahead, offsets] of keeps)
  t.test(`${name}: nothing is deleted`, async (t) => {
    const { count, installs, log } = await pruned(ahead, offsets);
    t.equal(count, 0);
    t.equal(installs, all);
    t.match(log, /"event":"ledger_not_pruned"/);
  });

t.test('two clocks that are wrong together delete a few installs an hour, which can be noticed', async (t) => {
  const { count, installs } = await pruned(400 * DAY, [0, 0]);
  t.equal(count, 10);
  t.equal(installs, all - 10);
});

t.test('a large ledger: four times what falls due in an hour', async (t) => {
  const deps = {
    retentionDays: RETENTION_DAYS,
    now: () => NOW,
    otherClocks: async () => [0],
    log: pino({ level: 'silent' }),
  };
  const asked: (number | undefined)[] = [];
  const ledger = {
    stats: async () => ({ installs: 10_000_000 }),
    prune: async (_: number, atMost?: number) => asked.push(atMost),
  };
  await pruneOnce({ ...deps, ledger });
  t.strictSame(asked, [4567], '0.05 % of the ledger');
});
