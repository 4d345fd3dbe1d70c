/**
 * The orders of operators for running services: the apps for which signing is stopped, the versions that no device
 * gets, and the version that every device gets. A plain value; `obey` is pure.
 */

import { z } from 'zod';
import { parseStored } from '../stored-format.ts';

const appOrders = z.object({
  /** No token is issued for the app. */
  isStopped: z.boolean().default(false),
  /** The AppleVersionIDs that no device gets. */
  held: z.array(z.string()).default([]),
  /** The AppleVersionID that links and updates give to every device; absent: the newest. */
  used: z.string().optional(),
});

const orders = z.object({
  /** Grows with every change; 0 before the first. */
  revision: z.int(),
  /** By AppleItemID. */
  apps: z.record(z.string(), appOrders),
});

/** The orders for one app. */
export type AppOrders = Readonly<z.output<typeof appOrders>>;
/** All orders in force. */
export type Orders = { readonly revision: number; readonly apps: Readonly<Record<string, AppOrders>> };

/** One order, for one app. */
export type Order = { readonly appleItemId: string } & (
  | { readonly act: 'stop' | 'start' }
  | { readonly act: 'hold' | 'release'; readonly appleVersionId: string }
  | { readonly act: 'use'; readonly appleVersionId: string | undefined }
);

export const NO_ORDERS: Orders = { revision: 0, apps: {} };

const NONE: AppOrders = { isStopped: false, held: [] };

/** The orders for an app. */
export const ordersFor = ({ apps }: Orders, appleItemId: string): AppOrders => apps[appleItemId] ?? NONE;

/** Returns the orders after one more order. Returns the same object if it changes nothing. */
export function obey(before: Orders, order: Order): Orders {
  const current = ordersFor(before, order.appleItemId);
  const next = { ...current, ...changeOf(current, order) };
  if (JSON.stringify(next) === JSON.stringify(current)) return before;
  return { revision: before.revision + 1, apps: { ...before.apps, [order.appleItemId]: next } };
}

function changeOf({ held }: AppOrders, order: Order): Partial<AppOrders> {
  switch (order.act) {
    case 'stop':
      return { isStopped: true };
    case 'start':
      return { isStopped: false };
    case 'hold':
      return { held: [...new Set([...held, order.appleVersionId])] };
    case 'release':
      return { held: held.filter((id) => id !== order.appleVersionId) };
    case 'use':
      // An order that gives a version to every device also ends the hold of that version.
      return { used: order.appleVersionId, held: held.filter((id) => id !== order.appleVersionId) };
  }
}

/** The format of stored orders. */
const FORMAT = 1;

/**
 * Parses stored orders. Throws `state_invalid` for a newer format, and what zod or JSON.parse throw if the text is
 * malformed.
 */
export const parseOrders = (text: string): Orders => orders.parse(parseStored(text, 'The list of orders', FORMAT));

/** The text to store. */
export const ordersText = ({ revision, apps }: Orders): string => JSON.stringify({ version: FORMAT, revision, apps });
