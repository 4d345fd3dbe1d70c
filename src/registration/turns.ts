/**
 * Turns: replicas that share a registration store, and have the same keys and settings, check App Store Connect one at
 * a time. The others adopt the findings. Turns save requests; two checks at the same time do no harm.
 */

import { z } from 'zod';

/** A turn ends after this time unless its replica renews it. */
export const TURN_MS = 6000;

/** Who has a turn. */
export type Holder = {
  /** Replicas with the same configuration share their checks. */
  readonly configuration: string;
  /** A name that no other replica has. */
  readonly replica: string;
};

export type TurnRequest = Holder & {
  /**
   * If set, takes the turn even before the next check is due, unless a completed check began within this many seconds.
   */
  readonly wantedForSeconds: number | undefined;
  /** The id of the findings that the caller knows already. */
  readonly knownId: string | undefined;
};

/** The last check that ended. */
export type LastCheck = {
  readonly beganSecondsAgo: number;
  readonly nextInSeconds: number;
  /** The number of failed checks in a row. */
  readonly failures: number;
  /** The last findings, unless the caller already has them. */
  readonly findings: Published | undefined;
};

/** Findings as text, with their own id. */
type Published = { readonly id: string; readonly text: string };

type EndOfTurn = Holder & {
  readonly nextInSeconds: number;
  readonly failures: number;
  readonly findings: Published;
};

type Turn = {
  readonly isMine: boolean;
  readonly last: LastCheck | undefined;
  /** The clock of the store minus this machine's, in seconds; undefined if the store has this machine's clock. */
  readonly storeOffsetSeconds: number | undefined;
};

/** The store of the turns. Every method throws if the store cannot be used. */
export interface Turns {
  /** Takes the turn if no other replica has it and a check is due or wanted. */
  takeTurn(request: TurnRequest): Promise<Turn>;
  /** Keeps the turn for another `TURN_MS`. */
  keepTurn(turn: Holder): Promise<void>;
  /** Ends the turn with the result of the check; does nothing if another replica has taken the turn. */
  endTurn(end: EndOfTurn): Promise<void>;
  /** Gives up the turn without a check. */
  dropTurn(turn: Holder): Promise<void>;
}

/** The turns of one configuration, as a file stores them. Times in milliseconds since 1970. */
export const turnRecord = z.object({
  replica: z.string(),
  heldUntil: z.number(),
  beganAt: z.number(),
  last: z.object({ beganAt: z.number(), endedAt: z.number(), nextInSeconds: z.number(), failures: z.int() }).optional(),
  findings: z.object({ id: z.string(), text: z.string() }).optional(),
});
export type TurnRecord = z.output<typeof turnRecord>;

/**
 * Whether a replica may take the turn at `now`. A time that is impossible, because the clock was set back, is ignored.
 */
export function mayTakeTurn(
  record: TurnRecord | undefined,
  wantedForSeconds: number | undefined,
  now: number,
): boolean {
  if (!record) return true;
  const isHeld = now < record.heldUntil && record.heldUntil <= now + TURN_MS;
  const { last } = record;
  if (isHeld || !last) return !isHeld;
  const isDue = now < last.endedAt || now >= last.endedAt + last.nextInSeconds * 1000;
  return isDue || (wantedForSeconds !== undefined && last.beganAt < now - wantedForSeconds * 1000);
}

/** The last check of a record, as of `now`. */
export function lastCheckOf({ last, findings }: TurnRecord, knownId: string | undefined, now: number) {
  return (
    last && {
      beganSecondsAgo: Math.max(0, now - last.beganAt) / 1000,
      nextInSeconds: last.nextInSeconds - Math.max(0, now - last.endedAt) / 1000,
      failures: last.failures,
      findings: findings?.id === knownId ? undefined : findings,
    }
  );
}
