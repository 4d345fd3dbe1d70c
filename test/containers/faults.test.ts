/**
 * What visitors see while App Store Connect, PostgreSQL or Redis is killed, paused, cut off, slow or full, and how long
 * recovery takes; docs/faults.md has the results. Needs a container engine and the image: `TEST_IMAGE=webdist:dev tap
 * test/containers/faults.test.ts`. With WEBDIST_WRITE_DOCS=1 the faults last as long as the page says, and its table is
 * rewritten.
 */

import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { GenericContainer, Wait } from 'testcontainers';
import { image, noImage, openStage, type Part, type Stage } from '../harness/containers.ts';
import { until } from '../harness/until.ts';
import { allFaults, expected, type Fault, MODES, type Mode, mayBeSeen, USUAL } from './faults.ts';
import { checkLine, lineOf, type Seen, slowestMs, writeTable } from './faults-table.ts';
import { watchHealth } from './health.ts';
import { type Answer, outcomesOf, startLoad } from './load.ts';

const PER_SECOND = 50;
/** Seconds a fault lasts in an ordinary run. */
const SHORT = 3;
const writesDocs = Boolean(process.env['WEBDIST_WRITE_DOCS']);

/**
 * Far above webdist's time limits (200 ms for the ledger, 100 ms for Redis), so that a busy machine does not count as a
 * hang.
 */
const HANG_MS = 10_000;

type Replica = Part & { readonly url: string };
type Pair = Readonly<Record<Mode, Replica>>;

t.setTimeout(1_800_000);

t.test('faults', { skip: noImage }, async (t) => {
  const stage = await openStage(t, 'faults');
  const { relay, pairs } = await startReplicas(stage);
  const faults = allFaults({ stage, relay, withSqlite: Object.values(pairs['with SQLite']) });
  const lines: string[] = [];
  for (const fault of faults)
    await t.test(`${fault.dependency}: ${fault.what}`, async (t) => {
      const seconds = writesDocs ? fault.seconds : SHORT;
      const seen = await meet(fault, pairs[fault.replicas], seconds);
      check(t, fault, seen);
      const line = lineOf(fault, seen, seconds);
      t.comment(line);
      lines.push(line);
      if (!writesDocs) checkLine(t, fault);
    });
  if (writesDocs && t.passing()) writeTable(lines);
});

async function startReplicas(stage: Stage) {
  const relay = await stage.start(
    new GenericContainer(image)
      .withCopyFilesToContainer([{ source: 'test/containers/relay.ts', target: '/tmp/relay.ts' }])
      .withEntrypoint(['node', '/tmp/relay.ts', '8090=sandbox:8090', '5432=postgres:5432', '6379=redis:6379'])
      .withWaitStrategy(Wait.forLogMessage('relays')),
    'relay',
  );
  const often = { WEBDIST_REGISTER_INTERVAL: '5' };
  const late = {
    ASC_BASE_URL: 'http://relay:8090',
    WEBDIST_LEDGER: 'postgres://test:test@relay:5432/test',
    WEBDIST_REDIS_URL: 'redis://relay:6379',
  };
  const onFile = { WEBDIST_LEDGER: 'sqlite:///data/ledger.sqlite' };
  const disk = { '/data': 'rw,size=64m,uid=65532,gid=65532,mode=0700' };
  const pair = async (name: string, more: Record<string, string>, tmpFs = {}): Promise<Pair> => {
    const start = (mode: Mode) =>
      stage.startReplica(`${mode}-${name}`, { ...often, ...more, WEBDIST_LEDGER_DOWN: mode }, tmpFs);
    const [issue, refuse] = await Promise.all([start('issue'), start('refuse')]);
    return { issue, refuse };
  };
  const pairs: Readonly<Record<Fault['replicas'], Pair>> = {
    direct: await pair('direct', {}),
    'through the relay': await pair('relay', late),
    'with SQLite': await pair('sqlite', onFile, disk),
  };
  return { relay: { name: 'relay', id: relay.getId() }, pairs };
}

/** Causes the fault under a steady load, lets it last, ends it, and waits until everything has recovered. */
async function meet(fault: Fault, pair: Pair, seconds: number): Promise<Seen> {
  const urls = [pair.issue.url, pair.refuse.url];
  const load = startLoad(urls, { perSecond: PER_SECOND });
  const health = watchHealth(urls);
  let ended = true;
  try {
    await until(
      () => isAsUsual(load.answers) && health.isWell(),
      () => `a good start\n${health.tell()}`,
      120,
    );
    await fault.begin();
    ended = false;
    const beganAt = performance.now();
    health.forget();
    const lostBy = () => load.answers.filter(({ sentAt }) => sentAt > beganAt);
    const shows = (mode: Mode) =>
      lostBy().some(({ url, outcome }) => url === pair[mode].url && outcome === expected(fault.loses, mode));
    const isShown = () =>
      shows('issue') && shows('refuse') && (!fault.degrades || health.degraded().includes(fault.degrades));
    await Promise.all([delay(seconds * 1000), until(isShown, () => `what the fault shows as\n${health.tell()}`, 60)]);
    const during = lostBy();
    const degraded = health.degraded();
    await fault.end();
    ended = true;
    const endedAt = performance.now();
    const since = (at: number) => Math.max(0, at - endedAt);
    const isOver = () => isAsUsual(load.answers.filter(({ sentAt }) => sentAt > endedAt)) && health.isWell();
    await until(isOver, () => `all as before\n${health.tell()}`, 180);
    // Includes requests that are still waiting: none may wait for ever.
    await load.stop();
    const after = load.answers.filter((answer) => answer.sentAt > beganAt && !during.includes(answer));
    const unusual = after.filter(({ outcome }) => outcome !== USUAL);
    return {
      during: perMode(during, pair),
      after: perMode(after, pair),
      degraded,
      answersMs: Math.max(0, ...unusual.map((answer) => since(answer.endedAt))),
      healthMs: since(health.wellSince()),
    };
  } finally {
    // The next fault needs a working stage, even if this one failed.
    if (!ended) await fault.end();
    await Promise.all([load.stop(), health.stop()]);
  }
}

/** One second of normal responses. */
function isAsUsual(answers: readonly Answer[]): boolean {
  const since = performance.now() - 1000;
  const latest = answers.filter(({ endedAt }) => endedAt > since);
  return latest.length >= PER_SECOND / 2 && latest.every(({ outcome }) => outcome === USUAL);
}

const perMode = (answers: readonly Answer[], pair: Pair): Seen['during'] => ({
  issue: answers.filter(({ url }) => url === pair.issue.url),
  refuse: answers.filter(({ url }) => url === pair.refuse.url),
});

function check(t: Test, { loses }: Fault, { during, after, degraded }: Seen): void {
  for (const mode of MODES) {
    const all = [...during[mode], ...after[mode]];
    const others = [...outcomesOf(all)].filter(([outcome]) => !mayBeSeen(mode).includes(outcome));
    t.strictSame(others, [], `${mode}: nothing but what is documented`);
    t.ok(slowestMs(all) < HANG_MS, `${mode}: nobody waited without end`);
    const usual = during[mode].filter(({ outcome }) => outcome === USUAL);
    if (loses !== 'ledger') t.ok(usual.length > during[mode].length / 2, `${mode}: it costs no visitor anything`);
  }
  t.notOk(degraded.includes('not ready') || degraded.includes('no health'), 'health went on saying ready');
}
