/** A replica that was suspended: it reads the notice before it signs, and notices that it missed a rotation. */

import t from 'tap';
import { openLog } from '../../../src/log.ts';
import { missedRotation, type Notice } from '../../../src/registration/rotation/notice.ts';
import { watchNotice } from '../../../src/registration/rotation/watch.ts';
import { openVirtualClock } from '../../harness/virtual-clock.ts';

for (const [outage, isOverAtTheEnd] of [
  ['an outage that ends during the suspension', true],
  ['an outage that goes on', false],
] as const)
  t.test(outage, async (t) => {
    const clock = openVirtualClock();
    let suspendedMs = 0;
    let isDown = false;
    let reads = 0;
    const watch = await watchNotice({
      notices: {
        async readNotice(): Promise<Notice | undefined> {
          reads++;
          if (isDown) throw new Error('PostgreSQL cannot be reached.');
          return undefined;
        },
      },
      follow: async () => undefined,
      log: openLog('silent'),
      clock: { ...clock, elapsed: () => clock.elapsed() + suspendedMs },
    });
    t.teardown(() => watch.close());
    t.equal(watch.ensureFresh(), undefined, 'the last read is recent');
    isDown = true;
    await clock.advance(10_000);
    t.equal(watch.ensureFresh(), undefined, 'an outage does not stop signing');
    isDown = !isOverAtTheEnd;
    suspendedMs = 60_000;
    const before = reads;
    const read = watch.ensureFresh();
    t.ok(read, 'the first token waits for a read');
    await read;
    t.ok(reads > before);
    t.equal(watch.ensureFresh(), undefined, 'the next ones do not');
  });

for (const [what, change, registered, expected] of [
  ['the key that it signs with is replaced', {}, 'b2xk', false],
  ['another key is replaced, so an earlier rotation was missed', {}, 'b2xkZXI', true],
  ['no key is known yet', {}, undefined, false],
  ['no key was registered', { from: undefined }, 'b2xkZXI', false],
  ['a later phase stops signing by itself', { phase: 'switching' }, 'b2xkZXI', false],
  ['the rotation is done', { phase: 'done' }, 'b2xkZXI', false],
] as const)
  t.test(what, async (t) => {
    const notice: Notice = {
      run: 'run',
      beat: 1,
      phase: 'announced',
      scope: 'app',
      appleItemIds: ['1'],
      from: { spki: 'b2xk' },
      to: { spki: 'bmV3' },
      isRollback: false,
      ...change,
    };
    const state = { registered: registered === undefined ? undefined : { spki: registered } };
    t.equal(missedRotation(notice, { app: { appleItemId: '1' }, state }), expected);
  });
