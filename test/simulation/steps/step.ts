/** The form of the tables of steps, and what their rows have in common. */

import { beginFault } from '../facts.ts';
import type { Fleet, Replica } from '../fleet.ts';
import { visit } from '../people/visitors.ts';
import { between, type Random } from '../world/random.ts';
import { schedule, trueTime } from '../world/scheduler.ts';

/** Numbers and words, so that a plan can be printed. */
export type Params = Readonly<Record<string, number | string>>;

/** One kind of step. */
export type Row = {
  /** How often it happens, compared with other rows. */
  readonly weight: number;
  readonly isFault?: boolean;
  /** The share of these faults during which an operator acts. Default: see steps.ts. */
  readonly actShare?: number;
  /** It is a part of every run. */
  readonly isTraffic?: boolean;
  readonly plan: (random: Random) => Params;
  readonly describe: (params: Params) => string;
  readonly run: (fleet: Fleet, params: Params) => void;
};

/** Rows by kind. */
export type Rows = Readonly<Record<string, Row>>;

export const number = (params: Params, name: string): number => Number(params[name]);

/** Returns the replica with this number; a larger number than there are replicas starts again at 1. */
export function replicaOf(fleet: Fleet, params: Params): Replica {
  const replica = fleet.replicas[(number(params, 'replica') - 1) % fleet.replicas.length];
  if (!replica) throw new Error('There is no such replica.');
  return replica;
}

export const anyReplica = (random: Random): number => between(random, 1, 3);

const DEVICES = 12;
export const anyDevice = (random: Random): number => between(random, 1, DEVICES);

/** From 0.2 s to a minute; short times are as frequent as long ones. */
export const durationMs = (random: Random): number => Math.round(200 * 300 ** random());
export const inSeconds = (ms: unknown): string => `${(Number(ms) / 1000).toFixed(1)} s`;
export const ignore = (): undefined => undefined;

/** How long before and after the end of a fault visitors arrive. */
const EDGE_MS = 20;

/**
 * Causes a fault for a while. `begin` begins it, and returns the function that ends it. `storesOf`: the replica that may be unable to use the stores.
 */
export function forAWhile(fleet: Fleet, { ms }: Params, begin: () => () => void, storesOf?: string): void {
  const end = beginFault(fleet.facts, begin(), storesOf);
  schedule(Number(ms), end, null);
  // Bugs appear at the moment in which things change, so visitors arrive then.
  schedule(Number(ms) - EDGE_MS, () => visitAll(fleet, (number) => `visitor ${number}`), null);
  schedule(Number(ms) + EDGE_MS, () => visitAll(fleet, (number) => `device ${1 + (number % DEVICES)}`), null);
}

function visitAll(fleet: Fleet, deviceId: (number: number) => string): void {
  for (const [index, replica] of fleet.replicas.entries())
    void visit(fleet, replica, deviceId(Math.floor(trueTime()) + index));
}
