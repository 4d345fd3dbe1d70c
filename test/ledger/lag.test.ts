import t from 'tap';
import { MAX_LIFETIME_SECONDS } from '../../src/install-token/times.ts';
import { trackLag } from '../../src/ledger/lag.ts';

t.test('the lag is the age of the oldest heartbeat that has not arrived', async (t) => {
  let nowMs = 0;
  const lag = trackLag(() => nowMs);
  t.equal(lag.seconds, 0, 'nothing is known yet');
  lag.stored(100);
  nowMs = 2000;
  t.equal(lag.seconds, 2);
  lag.stored(105);
  nowMs = 3000;
  t.equal(lag.seconds, 3, 'the oldest counts');
  lag.arrived(100);
  t.equal(lag.seconds, 1);
  lag.arrived(104.999);
  t.equal(lag.seconds, 1, 'an older one says nothing about it');
  lag.arrived(107);
  t.equal(lag.seconds, 0, 'a newer one, stored by another service, does');
  nowMs = 1e9;
  t.equal(lag.seconds, 0, 'while the ledger is down, a replica that has everything is not behind');
});

t.test('a replica that never catches up: the lag keeps growing, memory does not', async (t) => {
  let nowMs = 0;
  const lag = trackLag(() => nowMs);
  for (let beat = 0; beat < 10_000; beat++) {
    lag.stored(beat);
    nowMs += 5000;
  }
  t.equal(lag.seconds, 50_000);
  lag.arrived(20_000);
  t.equal(lag.seconds, 0);
});

t.test('every heartbeat within the longest lifetime of a token is tracked', async (t) => {
  let nowMs = 0;
  const lag = trackLag(() => nowMs);
  for (let beat = 0; beat <= MAX_LIFETIME_SECONDS; beat += 5) lag.stored(beat);
  lag.arrived(MAX_LIFETIME_SECONDS - 5);
  nowMs = 1000;
  t.equal(lag.seconds, 1, 'only the last one is missing');
});
