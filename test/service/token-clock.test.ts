/** Tokens are usable by this machine's clock and by Apple's, or none are issued. */

import t from 'tap';
import { IAT_MARGIN_SECONDS } from '../../src/install-token/times.ts';
import { openLog } from '../../src/log.ts';
import { openTokenClock } from '../../src/service/token-clock.ts';

const NOW = 1_795_000_000;
const HOUR = 3600;

function openClock(clockOffsetSeconds: number | undefined, lifetimeSeconds: number) {
  const keys = { clockOffsetSeconds };
  const events: string[] = [];
  const log = openLog('info', {
    write: (line: string) => void events.push((JSON.parse(line) as { event: string }).event),
  });
  return { keys, events, clock: openTokenClock({ keys, now: () => NOW * 1000, lifetimeSeconds, log }) };
}

/** Apple's clock minus this machine's, in seconds; how far tokens are set back (undefined: none are issued). */
const table: [offset: number | undefined, setBackSeconds: number | undefined, lifetimeSeconds?: number][] = [
  [undefined, 0],
  [0, 0],
  // Too little to be measured.
  [-2, 0],
  [2, 0],
  [-2.5, 2.5],
  [-30, 30],
  // A clock that is behind gives tokens a time in the past; a few seconds do no harm.
  [30, 0],
  [-55, 55],
  // The margin of `iat` makes up for the rest.
  [-60, 55],
  [60, 0],
  [-61, undefined],
  [61, undefined],
  [-2 * HOUR, undefined],
  [2 * HOUR, undefined],
  [-24 * HOUR, undefined],
  [24 * HOUR, undefined],
  // Half of a short lifetime must be left.
  [-30, 30, 60],
  [30, 0, 60],
  [-31, undefined, 60],
  [31, undefined, 60],
  [-60, 55, 120],
  [-60, 55, HOUR],
  [-61, undefined, HOUR],
];

for (const [offset, setBackSeconds, lifetimeSeconds = 1200] of table) {
  const { clock, events } = openClock(offset, lifetimeSeconds);
  const what = `Apple's clock is ${offset} s ahead, tokens live ${lifetimeSeconds} s`;
  if (setBackSeconds === undefined) {
    t.match(clock.problem, { code: 'clock_off', status: 503, retryAfterSeconds: 60, hint: /NTP/ }, what);
    t.equal(clock.now(), NOW * 1000, 'evidence is dated by the clock as it is');
    t.strictSame(events, ['clock_off']);
    continue;
  }
  t.equal(clock.problem, undefined, what);
  t.equal(clock.now(), (NOW - setBackSeconds) * 1000, what);
  const iat = Math.floor(clock.now() / 1000) - IAT_MARGIN_SECONDS;
  const appleNow = NOW + (offset ?? 0);
  t.ok(iat <= Math.min(NOW, appleNow) && iat >= NOW - 60, `${what}: iat is in the past, at most a minute`);
  t.ok(iat + lifetimeSeconds > Math.max(NOW, appleNow), `${what}: it is not expired`);
}

t.test('the problem is logged once when it begins and once when it ends', async (t) => {
  const { clock, keys, events } = openClock(0, 1200);
  for (const offset of [0, -7200, -7200, undefined, 0, 90, 90, 60]) {
    keys.clockOffsetSeconds = offset;
    t.equal(clock.problem !== undefined, Math.abs(offset ?? 0) > 60);
  }
  t.strictSame(events, ['clock_off', 'clock_ok', 'clock_off', 'clock_ok']);
});

t.test('the message says in which direction', async (t) => {
  t.match(openClock(-7200, 1200).clock.problem?.detail, /clock is 2 h ahead of App Store Connect's/);
  t.match(openClock(61, 1200).clock.problem?.detail, /clock is 61 s behind App Store Connect's/);
});
