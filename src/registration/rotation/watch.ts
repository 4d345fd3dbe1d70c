/**
 * A replica's eye on the notice: looks for it every half second, many times a second once a key is being changed, and
 * before signing when the latest look is too old, so that the command knows after a fixed time that everybody has seen
 * what it wrote. Time is this process's own: clocks of several machines are never compared.
 */

import type { Logger } from 'pino';
import { WebdistError } from '../../errors.ts';
import { ABANDONED_MS, ALERT, CALM, type Notice, type Notices } from './notice.ts';

/** What a replica knows: the notice, and whether the run that wrote it is dead. */
export type Seen = { readonly notice: Notice | undefined; readonly abandoned: boolean };

export interface NoticeWatch {
  /**
   * Resolves when what this replica knows is fresh enough to sign by. Throws `not_registered` when a change is under way
   * and its state cannot be read; else what cannot be read stops nobody.
   */
  fresh(): Promise<void>;
  close(): Promise<void>;
}

/** Looks once, then until `close`. `follow` is called whenever there is something new. */
export async function watchNotice(parts: {
  readonly notices: Pick<Notices, 'readNotice'>;
  readonly follow: (seen: Seen) => Promise<void>;
  readonly log: Logger;
}): Promise<NoticeWatch> {
  const { notices, follow, log } = parts;
  let seen: Seen = { notice: undefined, abandoned: false };
  let beganAt = Number.NEGATIVE_INFINITY;
  let changedAt = 0;
  let failed = false;
  let first = true;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const isUnderWay = () => seen.notice !== undefined && seen.notice.phase !== 'done' && !seen.abandoned;
  const pace = () => (isUnderWay() ? ALERT : CALM);

  const readOnce = async () => {
    const began = performance.now();
    try {
      const notice = await notices.readNotice();
      if (failed) log.info({ event: 'rotation_watch_back' }, 'the state of a key change can be read again');
      failed = false;
      beganAt = began;
      await take(notice);
    } catch (err) {
      if (!failed) log.warn({ event: 'rotation_watch_failed', err }, 'cannot read whether a key is being changed');
      failed = true;
      // A run that is not seen any more counts as dead, else an outage of this place would stop signing for ever.
      await take(seen.notice);
    }
  };
  const take = async (notice: Notice | undefined) => {
    const isNew = JSON.stringify(notice) !== JSON.stringify(seen.notice);
    if (isNew) changedAt = performance.now();
    const abandoned = notice !== undefined && notice.phase !== 'done' && performance.now() - changedAt > ABANDONED_MS;
    if (!isNew && abandoned === seen.abandoned) return;
    seen = { notice, abandoned };
    // What was done before this process began is in its memory, and may have been undone since.
    if (first && notice?.phase === 'done') return;
    await follow(seen);
  };
  const read = () => {
    running ??= readOnce().finally(() => {
      running = undefined;
    });
    return running;
  };
  const poll = async () => {
    await read();
    if (!closed) timer = setTimeout(poll, pace().everyMs).unref();
  };
  await poll();
  first = false;

  return {
    async fresh() {
      const isOld = () => performance.now() - beganAt > pace().freshMs;
      if (!isOld() || (failed && !isUnderWay())) return;
      // A look that began too long ago does not count, so a second one may be needed.
      await read();
      if (isOld() && !failed) await read();
      if (failed && isUnderWay())
        throw new WebdistError('not_registered', 'The distribution key is being replaced.', { retryAfterSeconds: 1 });
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
