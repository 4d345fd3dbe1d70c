/** The turns of the processes of one machine that share a data folder: `checks.json`, replaced as a whole. */

import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { FileLock } from '../file-lock.ts';
import {
  type Holder,
  lastCheckOf,
  mayTakeTurn,
  TURN_MS,
  type TurnRecord,
  type TurnRequest,
  type Turns,
  turnRecord,
} from './turns.ts';

const document = z.record(z.string(), turnRecord);

const DAY_MS = 24 * 60 * 60 * 1000;

const LOCKED_MS = 25;

type File = {
  /** Returns the text of the file; undefined if there is no file. */
  readonly read: () => Promise<string | undefined>;
  /** Replaces it. */
  readonly write: (text: string) => Promise<void>;
  /** Opens the lock under which the file is changed. */
  readonly openLock: () => Promise<FileLock>;
};

/** A file that cannot be parsed counts as empty. `now`: milliseconds since 1970. */
export function openFileTurns({ read, write, openLock }: File, now: () => number): Turns {
  const load = async (): Promise<Record<string, TurnRecord>> => {
    try {
      return document.parse(JSON.parse((await read()) ?? '{}'));
    } catch (error) {
      if (error instanceof z.ZodError || error instanceof SyntaxError) return {};
      throw error;
    }
  };
  /** Replaces one record, and removes the records of configurations that no longer exist. */
  const save = async (records: Record<string, TurnRecord>, configuration: string, record: TurnRecord) => {
    const recent = Object.entries(records).filter(([, { beganAt }]) => Math.abs(now() - beganAt) < 7 * DAY_MS);
    await write(`${JSON.stringify({ ...Object.fromEntries(recent), [configuration]: record })}\n`);
  };
  const locked = async <T>(work: () => Promise<T>): Promise<T> => {
    const lock = await openLock();
    try {
      while (!lock.tryLock()) await delay(LOCKED_MS);
      return await work();
    } finally {
      lock.close();
    }
  };
  const change = ({ configuration, replica }: Holder, changed: (record: TurnRecord) => TurnRecord) =>
    locked(async () => {
      const records = await load();
      const record = records[configuration];
      if (record?.replica === replica) await save(records, configuration, changed(record));
    });
  const tryTake = ({ configuration, replica, wantedForSeconds }: TurnRequest) =>
    locked(async () => {
      const records = await load();
      const record = records[configuration];
      const isFree = mayTakeTurn(record, wantedForSeconds, now());
      if (isFree)
        await save(records, configuration, { ...record, replica, beganAt: now(), heldUntil: now() + TURN_MS });
      return isFree;
    });
  return {
    async takeTurn(request) {
      const record = (await load())[request.configuration];
      const last = record && lastCheckOf(record, request.knownId, now());
      const isMine = mayTakeTurn(record, request.wantedForSeconds, now()) && (await tryTake(request));
      return { isMine, last, storeOffsetSeconds: undefined };
    },
    keepTurn: (turn) => change(turn, (record) => ({ ...record, heldUntil: now() + TURN_MS })),
    endTurn: ({ nextInSeconds, failures, findings, ...turn }) =>
      change(turn, (record) => ({
        ...record,
        heldUntil: 0,
        last: { beganAt: record.beganAt, endedAt: now(), nextInSeconds, failures },
        findings,
      })),
    dropTurn: (turn) => change(turn, (record) => ({ ...record, heldUntil: 0 })),
  };
}
