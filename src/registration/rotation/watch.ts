/**
 * Follows the notice in one replica. A replica reads the notice every half second, and 20 times a second after a rotation
 * was announced. It also reads the notice before signing if the last read is too old. So the command knows that every
 * replica has read a change after a fixed time. Only this process's own clock is used; clocks of different machines are
 * never compared.
 */

import type { Logger } from 'pino';
import { WebdistError } from '../../errors.ts';
import { countSuspensions } from '../../suspensions.ts';
import type { Clock } from '../clock.ts';
import { ABANDONED_MS, ALERT, CALM, type Notice, type Notices, signsWithNew } from './notice.ts';

/** The knowledge of a replica: the notice, and whether the run that wrote it is dead. */
export type NoticeStatus = { readonly notice: Notice | undefined; readonly isAbandoned: boolean };

export interface NoticeWatch {
  /**
   * Undefined if this replica's knowledge is fresh enough to sign, which is almost always the case; otherwise resolves
   * when it is. Rejects with `not_registered` if a rotation is in progress and the notice cannot be read. Without a
   * rotation, an unreadable notice does not stop signing, but a process that was suspended tries to read it once more.
   */
  ensureFresh(): Promise<void> | undefined;
  /** The run of the command that wrote the notice that was read last. */
  readonly run: string | undefined;
  close(): Promise<void>;
}

/** Reads the notice once, then regularly until `close`. `follow` is called with every change. */
export async function watchNotice(deps: {
  readonly notices: Pick<Notices, 'readNotice'>;
  readonly follow: (status: NoticeStatus) => Promise<void>;
  readonly log: Logger;
  readonly clock: Clock;
}): Promise<NoticeWatch> {
  const { notices, follow, log, clock } = deps;
  let status: NoticeStatus = { notice: undefined, isAbandoned: false };
  /** When the last successful read began. */
  let readAt = Number.NEGATIVE_INFINITY;
  let changedAt = 0;
  let isUnreadable = false;
  let isFirst = true;
  let reading: Promise<void> | undefined;
  const suspensions = countSuspensions(clock.elapsed, CALM.freshMs);
  /** The number of suspensions when the last completed read began. */
  let readAfter = 0;
  let cancelPoll: (() => void) | undefined;
  let isClosed = false;

  const needsCommand = (notice: Notice | undefined) => notice !== undefined && !signsWithNew(notice.phase);
  const isInProgress = () => needsCommand(status.notice) && !status.isAbandoned;
  const pace = () => (isInProgress() ? ALERT : CALM);

  const update = async (notice: Notice | undefined) => {
    const isNew = JSON.stringify(notice) !== JSON.stringify(status.notice);
    if (isNew) changedAt = clock.elapsed();
    const isAbandoned = needsCommand(notice) && clock.elapsed() - changedAt > ABANDONED_MS;
    if (!isNew && isAbandoned === status.isAbandoned) return;
    const { run, phase } = status.notice ?? {};
    const isHeartbeat = notice?.phase === 'overlap' && notice.phase === phase && notice.run === run;
    status = { notice, isAbandoned };
    // A rotation that was completed before this process started is already in the store, and may have been undone since
    // then.
    if (isHeartbeat || (isFirst && notice?.phase === 'done')) return;
    await follow(status);
  };
  const readOnce = async () => {
    const began = clock.elapsed();
    const after = suspensions();
    try {
      const notice = await notices.readNotice();
      if (isUnreadable) log.info({ event: 'rotation_watch_back' }, 'the notice of rotations can be read again');
      isUnreadable = false;
      readAt = began;
      await update(notice);
    } catch (err) {
      if (!isUnreadable)
        log.warn({ event: 'rotation_watch_failed', err }, 'cannot read whether a key is being rotated');
      isUnreadable = true;
      // A run whose heartbeat cannot be read counts as dead; otherwise an outage of the store would stop signing for
      // good.
      await update(status.notice);
    }
    readAfter = after;
  };
  const read = () => {
    reading ??= readOnce().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  const poll = async () => {
    await read();
    if (!isClosed) cancelPoll = clock.after(pace().everyMs, poll);
  };
  await poll();
  isFirst = false;

  const isOld = () => clock.elapsed() - readAt > pace().freshMs;
  const wasSuspended = () => suspensions() !== readAfter;
  const refresh = async () => {
    // The read in progress may have begun too long ago. In that case, a second read is needed.
    await read();
    if (isOld() && (!isUnreadable || wasSuspended())) await read();
    if (isUnreadable && isInProgress())
      throw new WebdistError('not_registered', 'The distribution key is being replaced.', { retryAfterSeconds: 1 });
  };
  return {
    ensureFresh: () => (isOld() && (!isUnreadable || isInProgress() || wasSuspended()) ? refresh() : undefined),
    get run() {
      return status.notice?.run;
    },
    async close() {
      isClosed = true;
      cancelPoll?.();
      await reading;
    },
  };
}
