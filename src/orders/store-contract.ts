/** The contract of a store of operators' orders, which is the channel between the commands and the running services. */

import { z } from 'zod';
import type { Order, Orders } from './orders.ts';

const report = z.object({
  /** Host name and process id. */
  id: z.string(),
  version: z.string(),
  /** RFC 3339. */
  startedAt: z.string(),
  isReady: z.boolean(),
  /** The revision of the orders that it follows, and since when (RFC 3339). */
  revision: z.int(),
  since: z.string(),
  /** The run of `webdist keys rotate` whose notice it has read last; null before the first. */
  rotationRun: z.string().nullable(),
  /**
   * The last rate limit that this service got from App Store Connect, and when this service last made a check for all
   * replicas.
   */
  apple: z.object({
    limit: z.int().nullable(),
    remaining: z.int().nullable(),
    /** RFC 3339; null if another service checks. */
    checkedAt: z.string().nullable(),
  }),
  apps: z.array(
    z.object({
      appleItemId: z.string(),
      bundleId: z.string(),
      keyId: z.string().nullable(),
      /** The AppleVersionID that links install. */
      appleVersionId: z.string().nullable(),
    }),
  ),
});

/** The report of one running service. */
export type ReplicaReport = Readonly<z.output<typeof report>>;
/** The report, and how long ago it was written, by the store's own clock. */
export type Replica = ReplicaReport & { readonly silentSeconds: number };

/** Parses a stored report. Throws if the text is not a report. */
export const parseReport = (text: string): ReplicaReport => report.parse(JSON.parse(text));

/** Reports older than this are deleted, because their services were killed. */
export const FORGET_SECONDS = 900;

/** Every method but `close` throws `state_invalid` or `ledger_unavailable` when the store cannot be used. */
export interface OrderStore {
  /** The orders in force. */
  read(): Promise<Orders>;
  /** Returns the orders that this machine last read, for a start while the store cannot be read. */
  remembered(): Promise<Orders>;
  /**
   * Adds an order, and returns the orders that are then in force. Orders of simultaneous commands are applied one after
   * the other.
   */
  change(order: Order): Promise<Orders>;
  /** Restores the orders of a backup, but only into a store that has none. Returns whether it did. */
  adopt(orders: Orders): Promise<boolean>;
  /** Writes this service's report, replacing its previous one. */
  report(report: ReplicaReport): Promise<void>;
  /** Deletes the report of a service that ends. */
  leave(id: string): Promise<void>;
  replicas(): Promise<Replica[]>;
  close(): Promise<void>;
}
