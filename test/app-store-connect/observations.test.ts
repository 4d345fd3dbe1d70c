/** Apple's clock is the median of several responses, and a response alone proves nothing. */

import t from 'tap';
import { openObservations } from '../../src/app-store-connect/observations.ts';
import { openLog } from '../../src/log.ts';

const START = 1_795_000_000_000;
const HOURS = 3600;

function observe() {
  let [machineMs, monotonicMs] = [START, 5000];
  const lines: string[] = [];
  const log = openLog('info', { write: (line: string) => void lines.push(line) });
  const observations = openObservations(
    () => machineMs,
    log,
    () => machineMs - monotonicMs,
  );
  return {
    observations,
    lines,
    /** A response of App Store Connect whose clock is this far ahead of ours. */
    respond(offsetSeconds: number, status = 200) {
      const date = new Date(Math.floor(machineMs / 1000 + offsetSeconds) * 1000).toUTCString();
      observations.record({ status, headers: new Headers({ date }) });
    },
    pass(seconds: number) {
      machineMs += seconds * 1000;
      monotonicMs += seconds * 1000;
    },
    setMachineClock(seconds: number) {
      machineMs += seconds * 1000;
    },
  };
}

/** The offsets of responses, in order, and the resulting offset. */
const table: [what: string, offsets: number[], median: number | undefined][] = [
  ['nothing yet', [], undefined],
  ['one that agrees', [0], 0],
  ['one that hardly differs', [-20], -20],
  ['one that is odd, alone', [-2 * HOURS], undefined],
  ['one that is odd, alone, ahead', [31], undefined],
  ['an odd one, then one that agrees', [-2 * HOURS, 0], 0],
  ['two that agree with each other', [-2 * HOURS, -2 * HOURS], -2 * HOURS],
  ['two that contradict each other: the lesser', [-2 * HOURS, 24 * HOURS], -2 * HOURS],
  ['an odd last one', [0, 0, 0, 0, -2 * HOURS], 0],
  ['an odd first one', [24 * HOURS, 1, 1, 1, 1], 1],
  ['two odd ones', [0, -2 * HOURS, 0, -2 * HOURS, 0], 0],
  ['two odd ones of four', [0, -2 * HOURS, 0, -2 * HOURS], 0],
  ['every one', [-61, -60, -62, -61, -61], -61],
  ['only the last five', [0, 0, 0, 0, 0, 0, 90, 90, 90], 90],
  ['recovered', [90, 90, 90, 90, 90, 0, 0, 0], 0],
];
for (const [what, offsets, median] of table) {
  const { observations, respond } = observe();
  for (const offset of offsets) respond(offset);
  t.equal(observations.clockOffsetSeconds, median, what);
  t.equal(observations.lastClockOffsetSeconds, offsets.at(-1), what);
}

/** START is Wednesday, 18 November 2026, 11:06:40 UTC. What `Date` and `Age` say, and the offset; undefined if it says nothing. */
const dates: [date: string, age: string | undefined, offset: number | undefined][] = [
  [new Date(START).toUTCString(), undefined, 0],
  ['Wednesday, 18-Nov-26 11:06:40 GMT', undefined, 0],
  ['Wed Nov 18 11:06:40 2026', undefined, 0],
  ['Wed, 18 Nov 2026 09:06:40 GMT', '7200', 0],
  ['Wed, 18 Nov 2026 09:06:40 GMT', '3600', -3600],
  ['Wed, 18 Nov 2026 11:06:40 GMT', '-5', 0],
  ['Wed, 18 Nov 2026 11:06:40 GMT', '1.5', 0],
  ['Wed, 18 Nov 2026 11:06:40 GMT', '1e9', 0],
  ['Sat, 31 Dec 2016 23:59:60 GMT', undefined, -311771201],
  ['2026-11-18 11:06:40', undefined, undefined],
  ['2026-11-18T11:06:40Z', undefined, undefined],
  ['Wed, 18 Nov 2026 11:06:40 +0200', undefined, undefined],
  [String(START / 1000), undefined, undefined],
  ['0', undefined, undefined],
  ['-1', undefined, undefined],
  ['', undefined, undefined],
];
for (const [date, age, offset] of dates) {
  const { observations } = observe();
  observations.record({ status: 200, headers: new Headers({ date, ...(age && { age }) }) });
  t.equal(observations.lastClockOffsetSeconds, offset, `Date: ${date}, Age: ${age}`);
}

t.test('the second that Date leaves out is not a difference', async (t) => {
  for (const within of [0, 0.2, 0.5, 0.8, 0.999]) {
    const { observations, respond, pass } = observe();
    pass(within);
    respond(-60);
    respond(-60);
    t.equal(observations.clockOffsetSeconds, -60, `${within} s into a second`);
  }
});

t.test('a Date that is none is ignored', async (t) => {
  const { observations } = observe();
  for (const date of [
    '',
    'yesterday',
    'soon',
    '-1',
    '0',
    '2026',
    '1795727784',
    '2026-11-26',
    'Thu, 26 Nov 2026',
    'x GMT',
  ])
    observations.record({ status: 200, headers: new Headers(date ? { date } : {}) });
  t.equal(observations.lastClockOffsetSeconds, undefined);
});

t.test('a step of the clock of this machine', async (t) => {
  const { observations, respond, setMachineClock, pass } = observe();
  for (let index = 0; index < 5; index++) respond(-2 * HOURS);
  pass(86_400);
  t.equal(observations.clockOffsetSeconds, -2 * HOURS, 'time alone changes nothing');
  setMachineClock(-2 * HOURS);
  t.equal(observations.clockOffsetSeconds, 0, 'set right: known at once');
  respond(0);
  t.equal(observations.clockOffsetSeconds, 0);
  setMachineClock(HOURS);
  t.equal(observations.clockOffsetSeconds, -HOURS, 'set wrong: known at once');
  respond(-HOURS);
  t.equal(observations.clockOffsetSeconds, -HOURS);
  for (let seconds = 0; seconds < 600; seconds++) setMachineClock(-6);
  t.equal(observations.clockOffsetSeconds, 0, 'slewed');
});

t.test('the difference is logged once each time it begins', async (t) => {
  const { lines, respond } = observe();
  for (const offset of [0, 0, -90, 0, -90, -90, -90, -90, 0, 0, 0, 0, 0, -90, -90, -90]) respond(offset);
  t.equal(lines.filter((line) => line.includes('asc_clock_differs')).length, 2);
});

t.test('API tokens are dated by this machine, and by Apple only after a refusal', async (t) => {
  const { observations, respond } = observe();
  const correction = () => observations.nowSeconds() - START / 1000;
  respond(-2 * HOURS);
  respond(-2 * HOURS);
  t.equal(correction(), 0, 'a Date that a proxy changed does no harm to requests that are accepted');
  respond(300, 401);
  t.equal(correction(), 300);
  respond(300);
  t.equal(correction(), 300);
  respond(300, 401);
  t.equal(correction(), 0, 'refused by Apple’s clock too: the clock is not the reason');
  respond(0, 401);
  t.equal(correction(), 0);
});
