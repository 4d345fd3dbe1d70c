/**
 * What the command that changes a key leaves where all replicas look (see `memory.ts`): its journal, by which the next
 * run goes on where this one was killed, and the word by which replicas stop and start signing. Holds public halves
 * and ids, no secret.
 */

import { z } from 'zod';

const notice = z.object({
  /** The run of the command that wrote it; another run takes over only from one that is dead. */
  run: z.string().min(1),
  /** Grows while that run is alive. */
  beat: z.int(),
  /** `announced`: nothing is changed yet, look often; `switching`: sign nothing; `done`: sign with `to`. */
  phase: z.enum(['announced', 'switching', 'done']),
  /** Whether the key belongs to one app or to the whole account. */
  scope: z.enum(['app', 'account']),
  appleItemIds: z.array(z.string()),
  /** SubjectPublicKeyInfo DER, base64. `from` is absent where no key was registered. */
  from: z.object({ spki: z.string() }).optional(),
  to: z.object({ spki: z.string(), keyId: z.string().optional() }),
  /** Whether it puts back what an earlier change replaced. */
  isRollback: z.boolean(),
});

/** One change of a key, from beginning to end. */
export type Notice = Readonly<z.output<typeof notice>>;

/** True when something may have been changed at Apple and is not what it is to be. */
export const isUnfinished = (notice: Notice | undefined): notice is Notice => notice?.phase === 'switching';

/** Reads a notice that was kept as text. Throws when it is none. */
export const parseNotice = (text: string): Notice => notice.parse(JSON.parse(text));

/** Where the notice is kept. Both throw when that place cannot be reached. */
export interface Notices {
  readNotice(): Promise<Notice | undefined>;
  /** Writes the notice if the one there is of the run given (undefined: there is none); else gives false. */
  writeNotice(notice: Notice, insteadOfRun: string | undefined): Promise<boolean>;
}

/** How often a replica looks, and how old its latest look may be when it signs; until the end it looks again first. */
export const CALM = { everyMs: 500, freshMs: 1000 } as const;
/** The same once a change was announced. */
export const ALERT = { everyMs: 50, freshMs: 200 } as const;

/** A live run writes this often; one not seen to write for `ABANDONED_MS` is dead. */
export const BEAT_MS = 1000;
export const ABANDONED_MS = 5000;
