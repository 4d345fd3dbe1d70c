/**
 * What is known about a run from outside of the replicas. The invariants compare the behaviour of the replicas with it.
 */

import { trueTime } from './world/scheduler.ts';

/** The history of a visitor's device, in true time. */
export type Device = {
  readonly id: string;
  cookie: string | undefined;
  nonce: string | undefined;
  /** When it got that nonce. */
  tokenAt: number;
  /** When evidence of an install was first sent, and first acknowledged. */
  evidenceSentAt: number | undefined;
  evidenceStoredAt: number | undefined;
  /** When the device got its tokens, for the rate limit. */
  readonly tokenTimes: number[];
  /** The last install URL: the token in it, and when that expires by the clock of its replica. */
  link: Link | undefined;
  /** Its access token, and the link that it was exchanged for. */
  access: { readonly accessToken: string; readonly refreshToken: string; readonly link: Link | undefined } | undefined;
};

type Link = {
  readonly subjectToken: string;
  readonly dtype: string;
  readonly untilMs: number;
  readonly vid: string | undefined;
};

/** A token that left a replica. */
export type Token = {
  readonly replica: string;
  readonly device: Device | undefined;
  readonly request: 'visit' | 'restore' | 'update';
  readonly installToken: string;
  readonly keyId: string;
  readonly dtype: string;
  readonly nonce: string;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
  /** The AppleVersionID, if it is known. */
  readonly vid: string | undefined;
  /** In true time: when the replica received the request, and when it answered. */
  readonly receivedAt: number;
  readonly sentAt: number;
};

export type Facts = {
  /** The faults in progress, each with the function that ends it. */
  readonly faults: Map<object, () => void>;
  /** When a fault last began or ended. */
  troubledAt: number;
  /** The same for the faults during which replicas may be unable to use the stores: by fault, and by place. */
  readonly storeFaults: Map<object, string>;
  readonly storeTroubledAt: Map<string, number>;
  readonly devices: Map<string, Device>;
  readonly nonces: Set<string>;
  /** The tokens that were not yet found in an audit file, by nonce. */
  readonly unaudited: Map<string, { readonly replica: string; readonly sentAt: number }>;
  /** The uses of each refresh token. */
  readonly refreshed: Map<string, readonly { readonly process: string; readonly at: number }[]>;
  /** When Apple received the last requests of replicas. */
  readonly appleTimes: number[];
  keysCreated: number;
  /** The rotations in progress, and when the last one began. */
  rotations: number;
  rotatedAt: number;
  /** The commands in progress that may change the orders. */
  ordersInProgress: number;
  /**
   * The stored orders, each as text (`stop`, `hold 2000000001`) with the time since when it is in force, and their
   * revision.
   */
  orders: { readonly since: ReadonlyMap<string, number>; readonly changedAt: number; readonly revision: number };
  /** The orders that were acknowledged, by revision. */
  readonly acknowledgedOrders: Map<number, string>;
  /** The newest revision of the orders that each replica has followed, while its disk was good. */
  readonly followed: Map<string, number>;
  /** The largest difference between a replica's clock and the true time so far. */
  largestOffsetMs: number;
  readonly failedStarts: { readonly replica: string; readonly error: Error }[];
  readonly unexpectedErrors: string[];
  /** Counts for the line of figures. */
  tokens: number;
  answers: number;
  /** Set by the first invariant that does not hold. */
  violation: { readonly invariant: string; readonly detail: string } | undefined;
};

export const newFacts = (): Facts => ({
  faults: new Map(),
  troubledAt: trueTime(),
  storeFaults: new Map(),
  storeTroubledAt: new Map([[EVERY_REPLICA, trueTime()]]),
  devices: new Map(),
  nonces: new Set(),
  unaudited: new Map(),
  refreshed: new Map(),
  appleTimes: [],
  keysCreated: 0,
  rotations: 0,
  rotatedAt: 0,
  ordersInProgress: 0,
  orders: { since: new Map(), changedAt: 0, revision: 0 },
  acknowledgedOrders: new Map(),
  followed: new Map(),
  largestOffsetMs: 0,
  failedStarts: [],
  unexpectedErrors: [],
  tokens: 0,
  answers: 0,
  violation: undefined,
});

/** Returns how long there had been no fault at a time; 0 during a fault. */
export const calmMs = ({ faults, troubledAt }: Facts, at: number = trueTime()): number =>
  faults.size > 0 ? 0 : Math.max(0, at - troubledAt);

/** The place of a fault that affects the stores of all replicas. */
export const EVERY_REPLICA = 'every replica';

/** Returns how long a replica had been able to use the stores at a time. */
export function storeCalmMs({ storeFaults, storeTroubledAt }: Facts, at: number, replica: string): number {
  const isConcerned = (place: string) => place === EVERY_REPLICA || place === replica;
  if ([...storeFaults.values()].some(isConcerned)) return 0;
  const times = [...storeTroubledAt].filter(([place]) => isConcerned(place)).map(([, time]) => time);
  return Math.max(0, at - Math.max(...times));
}

/** Begins a fault; `storesOf` is the replica that may be unable to use the stores. The returned function ends it, and so does the end of all faults. */
export function beginFault(facts: Facts, end: () => void, storesOf?: string): () => void {
  const key = {};
  const trouble = () => {
    facts.troubledAt = trueTime();
    if (storesOf !== undefined) facts.storeTroubledAt.set(storesOf, trueTime());
  };
  trouble();
  if (storesOf !== undefined) facts.storeFaults.set(key, storesOf);
  const ended = () => {
    if (!facts.faults.delete(key)) return;
    facts.storeFaults.delete(key);
    trouble();
    end();
  };
  facts.faults.set(key, ended);
  return ended;
}

export function deviceOf(facts: Facts, id: string): Device {
  const known = facts.devices.get(id);
  if (known) return known;
  const device: Device = {
    id,
    cookie: undefined,
    nonce: undefined,
    tokenAt: 0,
    evidenceSentAt: undefined,
    evidenceStoredAt: undefined,
    tokenTimes: [],
    link: undefined,
    access: undefined,
  };
  facts.devices.set(id, device);
  return device;
}
