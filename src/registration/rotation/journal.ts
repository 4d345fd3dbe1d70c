/**
 * Writes the notice for the command that rotates a key. The command takes it over from a dead run, keeps it alive with
 * a heartbeat, and gives it up as soon as another run has taken over.
 */

import { randomUUID } from 'node:crypto';
import { WebdistError } from '../../errors.ts';
import { type Clock, systemClock } from '../clock.ts';
import { ABANDONED_MS, ALERT, CALM, HEARTBEAT_MS, type Notice, type Notices } from './notice.ts';

/** One change of the registered key, without the data of the run that makes it. */
export type Change = Omit<Notice, 'run' | 'beat' | 'phase'>;

/** Every method but `close` throws `state_invalid` if another run has taken over, and what the store throws. */
export interface Journal {
  /** The id of this run, which is in its notice. */
  readonly run: string;
  /** Writes the phase. Resolves when every replica that can read it has read it. */
  enter(phase: 'announced' | 'switching' | 'overlap', change: Change): Promise<void>;
  /** To be called right before a change at Apple. Ensures that replicas still consider this run alive. */
  renew(): Promise<void>;
  /** Tells the replicas to sign with `change.to`. Nothing can be written afterwards. */
  finish(change: Change): Promise<void>;
  /** Ends the heartbeat. An unfinished change then counts as abandoned. */
  close(): Promise<void>;
}

/** The time that it takes to begin one more read. It is added to the permitted age of a replica's knowledge. */
const MARGIN_MS = 500;
const ALERT_MARGIN_MS = 100;

/** Resolves when the run that left `notice` unfinished is certainly dead. Throws `state_invalid` if it is alive. */
export async function ensureAbandoned(notices: Notices, notice: Notice, clock: Clock = systemClock): Promise<void> {
  const end = clock.elapsed() + ABANDONED_MS;
  while (clock.elapsed() < end) {
    await clock.sleep(HEARTBEAT_MS / 2);
    const now = await notices.readNotice();
    if (now?.run !== notice.run || now.beat !== notice.beat)
      throw new WebdistError('state_invalid', 'Another `webdist keys rotate` is running.', {
        hint: 'Let it finish; it reports its progress on its own terminal.',
      });
  }
}

/** Opens the journal of a new run, which replaces the notice `previous`. */
export function openJournal(notices: Notices, previous: Notice | undefined, clock: Clock): Journal {
  const run = randomUUID();
  let replacedRun = previous?.run;
  let written: Notice | undefined;
  let writtenAt = 0;
  let queue: Promise<void> = Promise.resolve();
  let cancelHeartbeat: (() => void) | undefined;

  /** Writes are sequential. Each counts as a heartbeat. */
  const write = (noticeOf: (beat: number) => Notice | undefined): Promise<void> => {
    const writing = queue.then(async () => {
      const notice = noticeOf((written?.beat ?? 0) + 1);
      if (!notice) return;
      if (!(await notices.writeNotice(notice, replacedRun)))
        throw new WebdistError('state_invalid', 'Another `webdist keys rotate` has taken over.');
      replacedRun = run;
      written = notice;
      writtenAt = clock.elapsed();
    });
    queue = writing.catch(() => undefined);
    return writing;
  };
  const rewrite = () => write((beat) => written && { ...written, beat });
  const keepAlive = () => {
    cancelHeartbeat = clock.after(HEARTBEAT_MS, () => {
      // The next step reports a failure to write.
      void rewrite().catch(() => undefined);
      keepAlive();
    });
  };
  return {
    run,
    async enter(phase, change) {
      const areAlert = written !== undefined;
      await write((beat) => ({ ...change, run, beat, phase }));
      if (!cancelHeartbeat) keepAlive();
      await clock.sleep(areAlert ? ALERT.freshMs + ALERT_MARGIN_MS : CALM.freshMs + MARGIN_MS);
    },
    async renew() {
      const silentMs = clock.elapsed() - writtenAt;
      await rewrite();
      if (silentMs > ABANDONED_MS / 2) await clock.sleep(CALM.freshMs + MARGIN_MS);
    },
    async finish(change) {
      cancelHeartbeat?.();
      await write((beat) => ({ ...change, run, beat, phase: 'done' }));
    },
    async close() {
      cancelHeartbeat?.();
      await queue;
    },
  };
}
