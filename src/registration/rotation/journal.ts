/**
 * The notice as the command that writes it sees it: taken over from a dead run, kept alive by a beat, and given up as
 * soon as somebody else has it.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { WebdistError } from '../../errors.ts';
import { ABANDONED_MS, ALERT, BEAT_MS, CALM, type Notice, type Notices } from './notice.ts';

/** One change of a key, without what belongs to the run that makes it. */
export type Change = Omit<Notice, 'run' | 'beat' | 'phase'>;

export interface Journal {
  /** Writes the phase and waits until every replica that can see it has. Throws `state_invalid` when another run took over. */
  enter(phase: 'announced' | 'switching', change: Change): Promise<void>;
  /** Proves right before a change at Apple that replicas still know of this run; tells them again when they may not. */
  hold(): Promise<void>;
  /** Tells everybody to sign with `change.to`; nothing can be written after. */
  finish(change: Change): Promise<void>;
  /** Ends the beat. What is not finished is then taken for abandoned. */
  close(): Promise<void>;
}

/** What is added to the age a replica's knowledge may have: the time to begin one more look. */
const MARGIN_MS = 500;
const ALERT_MARGIN_MS = 100;

/** Waits until a run that left `notice` unfinished is surely dead. Throws `state_invalid` when it is alive. */
export async function outlive(notices: Notices, notice: Notice): Promise<void> {
  const end = performance.now() + ABANDONED_MS;
  while (performance.now() < end) {
    await delay(BEAT_MS / 2);
    const now = await notices.readNotice();
    if (now?.run !== notice.run || now.beat !== notice.beat)
      throw new WebdistError('state_invalid', 'Another `webdist keys rotate` is at work.', {
        hint: 'Let it end; it says on its own terminal what it does.',
      });
  }
}

/** Opens the journal of a new run, which replaces that of `left`. */
export function openJournal(notices: Notices, left: Notice | undefined): Journal {
  const run = randomUUID();
  let replaces = left?.run;
  let written: Notice | undefined;
  let writtenAt = 0;
  let queue: Promise<void> = Promise.resolve();
  let beating: NodeJS.Timeout | undefined;

  /** One write after the other; each is a sign of life. */
  const write = (next: (beat: number) => Notice | undefined): Promise<void> => {
    const writing = queue.then(async () => {
      const notice = next((written?.beat ?? 0) + 1);
      if (!notice) return;
      if (!(await notices.writeNotice(notice, replaces)))
        throw new WebdistError('state_invalid', 'Another `webdist keys rotate` has taken over.');
      replaces = run;
      written = notice;
      writtenAt = performance.now();
    });
    queue = writing.catch(() => undefined);
    return writing;
  };
  const again = () => write((beat) => written && { ...written, beat });
  const beat = () => {
    // Whether it can be written is found out, and said, by the next step.
    beating = setInterval(() => void again().catch(() => undefined), BEAT_MS);
  };
  return {
    async enter(phase, change) {
      const areAlert = written !== undefined;
      await write((beat) => ({ ...change, run, beat, phase }));
      if (!beating) beat();
      await delay(areAlert ? ALERT.freshMs + ALERT_MARGIN_MS : CALM.freshMs + MARGIN_MS);
    },
    async hold() {
      const wasQuietMs = performance.now() - writtenAt;
      await again();
      if (wasQuietMs > ABANDONED_MS / 2) await delay(CALM.freshMs + MARGIN_MS);
    },
    async finish(change) {
      clearInterval(beating);
      await write((beat) => ({ ...change, run, beat, phase: 'done' }));
    },
    async close() {
      clearInterval(beating);
      await queue;
    },
  };
}
