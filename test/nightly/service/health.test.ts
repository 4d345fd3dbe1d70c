/**
 * Readiness: how many seconds health takes to report each fault of docs/faults.md and its end, and how often it changes in
 * between. Visitors and evidence arrive all the time. Writes the table of docs/faults.md.
 */

import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Health } from '../../../src/service/health.ts';
import { checkTable } from '../../harness/doc-table.ts';
import { post } from '../../harness/http.ts';
import { until } from '../../harness/until.ts';
import { type Stage, stages, type Trouble } from './stages.ts';

/** How long a fault continues after it was reported: longer than the interval of every check during an outage. */
const LASTS_MS = 8000;
/** How long health is observed after the fault. */
const AFTERWARDS_MS = 4000;
const SAMPLE_MS = 20;
const VISIT_MS = 100;

/** Whether health reports one part as ok, which others it does not, and whether the service is ready. */
function seen({ ready, apps, domain, clock, ledger, ledgerRead, redis, orders }: Health, part: Trouble['part']) {
  const parts = Object.entries({ domain, clock, ledger, ledgerRead, redis, orders, ...Object.values(apps)[0] });
  const bad = parts.flatMap(([name, value]) =>
    typeof value === 'object' && !['ok', 'off'].includes(value.state) ? [name] : [],
  );
  return { isOk: !bad.includes(part), ready, others: bad.filter((name) => name !== part) };
}

/** Samples health until `end`, and records each change. */
function observe({ health }: Stage, part: Trouble['part']) {
  const changes: { readonly atMs: number; readonly isOk: boolean; readonly ready: boolean }[] = [];
  const others = new Set<string>();
  let isEnded = false;
  const sampling = (async () => {
    for (; !isEnded; await delay(SAMPLE_MS)) {
      const now = seen(await health(), part);
      for (const other of now.others) others.add(other);
      const last = changes.at(-1);
      if (last?.isOk !== now.isOk || last.ready !== now.ready) changes.push({ ...now, atMs: performance.now() });
    }
  })();
  const times = (what: 'isOk' | 'ready') =>
    changes.filter((change, index) => index > 0 && change[what] !== changes[index - 1]?.[what]);
  return {
    others,
    /** The changes of the part, and those of the readiness. */
    of: times,
    current: () => changes.at(-1),
    end() {
      isEnded = true;
      return sampling;
    },
  };
}

/** New visitors, whose installs count at once, and one who returns. */
function visit({ url }: Stage) {
  let isEnded = false;
  const answers = new Map<string, number>();
  const count = (key: string) => answers.set(key, (answers.get(key) ?? 0) + 1);
  const visiting = (async () => {
    const underWay = new Set<Promise<unknown>>();
    for (; !isEnded; await delay(VISIT_MS)) {
      const call = async () => {
        const { status, body, cookie } = await post(`${url}/install-token`, {});
        count(`token ${status}`);
        if (status !== 200) return;
        const evidence = await post(`${url}/installs`, { nonce: body['nonce'] }, { cookie: cookie ?? '' });
        count(`evidence ${evidence.status}`);
      };
      const one: Promise<unknown> = call()
        .catch(() => count('no answer'))
        .finally(() => underWay.delete(one));
      underWay.add(one);
    }
    await Promise.all(underWay);
  })();
  return {
    answers,
    end() {
      isEnded = true;
      return visiting;
    },
  };
}

/** A fault, or its end, can be noticed before it is complete. */
const seconds = (ms: number) => `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
/** The rows of each stage. */
const rows = stages.map((): string[][] => []);

async function meet(t: Test, stage: Stage, { name, part, stops = false, begin, end }: Trouble): Promise<string[]> {
  const isWell = async () => {
    const { isOk, ready, others } = seen(await stage.health(), part);
    return isOk && ready && others.length === 0;
  };
  await until(isWell, `${name}: a good start`, 90);
  const health = observe(stage, part);
  const visitors = visit(stage);
  await delay(1000);
  await begin();
  const begunMs = performance.now();
  await until(() => health.current()?.isOk === false && health.current()?.ready === !stops, `${name}: a report`, 90);
  await delay(LASTS_MS);
  await end();
  const endedMs = performance.now();
  await until(() => health.current()?.isOk && health.current()?.ready, `${name}: the end`, 120);
  await delay(AFTERWARDS_MS);
  await Promise.all([health.end(), visitors.end()]);
  const [reported, ...later] = health.of('isOk');
  const flaps = health.of('isOk').length - 2 + health.of('ready').length - (stops ? 2 : 0);
  const row = [
    name,
    `\`${part}\`${stops ? ', not ready' : ''}`,
    seconds((reported?.atMs ?? 0) - begunMs),
    seconds((later.at(-1)?.atMs ?? 0) - endedMs),
    String(flaps),
  ];
  t.comment(row.join(' | '), [...health.others], Object.fromEntries(visitors.answers));
  t.equal(flaps, 0, `${name}: ${JSON.stringify([health.of('isOk'), health.of('ready')])}`);
  return row;
}

t.jobs = 5;
const all = stages.map(([name, skip, open], index) =>
  t.test(name, { skip, buffered: true, timeout: 600_000 }, async (t) => {
    const stage = await open(t);
    for (const trouble of stage.troubles) rows[index]?.push(await meet(t, stage, trouble));
  }),
);
await Promise.all(all);

t.test('the table in docs/faults.md', async (t) => {
  if (stages.some(([, skip]) => skip)) return t.comment('not every stage could be set up');
  const head = ['fault', 'health', 'reported after', 'end reported after', 'flaps'];
  checkTable(t, 'docs/faults.md', 'health', head, rows.flat());
});
