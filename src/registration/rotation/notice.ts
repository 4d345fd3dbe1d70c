/**
 * The notice of a rotation: the command that rotates a key writes it to the registration store, and every replica reads
 * it there. It tells replicas when to stop and start signing. It is also the journal from which the next run continues
 * if this run is killed. It contains public halves and ids, but no secret.
 */

import { z } from 'zod';
import { parseStored } from '../../stored-format.ts';

const notice = z.object({
  /** The run of the command that wrote the notice. Another run takes over only if that run is dead. */
  run: z.string().min(1),
  /** The heartbeat of that run, which grows while the run is alive. */
  beat: z.int(),
  /**
   * `announced`: nothing has changed yet, so read often. `switching`: do not sign. `overlap`: sign with `to`, while `from`
   * stays registered for the tokens that it signed. `done`: sign with `to`.
   */
  phase: z.enum(['announced', 'switching', 'overlap', 'done']),
  /** Whether the key is registered for one app or for the whole account. */
  scope: z.enum(['app', 'account']),
  appleItemIds: z.array(z.string()),
  /** SubjectPublicKeyInfo DER, base64. `from` is absent when no key was registered. */
  from: z.object({ spki: z.string() }).optional(),
  to: z.object({ spki: z.string(), keyId: z.string().optional() }),
  /** Whether this rotation restores the key that an earlier one replaced. */
  isRollback: z.boolean(),
  /** How long `from` stays registered after the replicas sign with `to`. Absent or 0: it is removed before that. */
  overlapSeconds: z.int().nonnegative().optional(),
  /** When the overlap began, by the clock of the command's machine. */
  overlapSince: z.iso.datetime().optional(),
});

/** The notice of one rotation, from its announcement to its end. */
export type Notice = Readonly<z.output<typeof notice>>;

/** True if the registration may be half changed, or the old key is still to be removed. */
export const isUnfinished = (notice: Notice | undefined): notice is Notice =>
  notice?.phase === 'switching' || notice?.phase === 'overlap';

/** True if replicas sign with `to` in this phase, whether the command lives or not. */
export const signsWithNew = (phase: Notice['phase'] | undefined): phase is 'overlap' | 'done' =>
  phase === 'overlap' || phase === 'done';

/** An app, and the key that a replica signs with. */
type Signed = {
  readonly app: { readonly appleItemId: string };
  readonly state: { readonly registered: { readonly spki: string } | undefined };
};

/** A rotation also affects an app that uses a key of the account, although the command may not know this app. */
export const affects = ({ appleItemIds, scope, from }: Notice, { app, state }: Signed): boolean =>
  appleItemIds.includes(app.appleItemId) ||
  (scope === 'account' && state.registered !== undefined && state.registered.spki === from?.spki);

/**
 * True if this process was suspended during an earlier rotation: the announced one replaces another key than the one that
 * this process knows, which may no longer be registered.
 */
export const missedRotation = ({ phase, from }: Notice, { state: { registered } }: Signed): boolean =>
  phase === 'announced' && registered !== undefined && from !== undefined && registered.spki !== from.spki;

/** The format of a stored notice. */
const FORMAT = 1;

/**
 * Parses a stored notice. Throws `state_invalid` for a newer format, and what zod or JSON.parse throw if the text is
 * malformed.
 */
export const parseNotice = (text: string): Notice =>
  notice.parse(parseStored(text, 'The notice of the last rotation', FORMAT));

/** The text to store. */
export const noticeText = (own: Notice): string => JSON.stringify({ version: FORMAT, ...own });

/** The store of the notice. Both methods throw if the store cannot be reached. */
export interface Notices {
  readNotice(): Promise<Notice | undefined>;
  /**
   * Writes the notice only if it replaces the notice of `replacedRun` (undefined: there is none). Otherwise returns
   * false.
   */
  writeNotice(notice: Notice, replacedRun: string | undefined): Promise<boolean>;
}

/**
 * How often a replica reads the notice, and how old its last read may be when it signs. If the last read is older, the
 * replica reads again.
 */
export const CALM = { everyMs: 500, freshMs: 1000 } as const;
/** The same intervals once a rotation is announced. */
export const ALERT = { everyMs: 50, freshMs: 200 } as const;

/** The interval of the heartbeat. A run without a heartbeat for `ABANDONED_MS` counts as dead. */
export const HEARTBEAT_MS = 1000;
export const ABANDONED_MS = 5000;
