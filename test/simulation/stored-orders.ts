/** The orders as they are stored, read from outside of the replicas. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_ORDERS, ordersFor, parseOrders } from '../../src/orders/orders.ts';
import { type Fleet, postgresTables } from './fleet.ts';
import { trueTime } from './world/scheduler.ts';

let known: string | undefined;

export const resetStored = (): void => {
  known = undefined;
};

/** Notes when the stored orders changed; to be called after every event. */
export function followStored(fleet: Fleet): void {
  const text = storedOrders(fleet);
  if (text === known) return;
  known = text;
  const orders = text === undefined ? NO_ORDERS : parseOrders(text);
  const { isStopped } = ordersFor(orders, fleet.apple.app.id);
  const { stop } = fleet.facts;
  fleet.facts.stop = {
    isStopped,
    since: isStopped === stop.isStopped ? stop.since : trueTime(),
    revision: orders.revision,
  };
}

function storedOrders(fleet: Fleet): string | undefined {
  const tables = postgresTables(fleet);
  if (tables) return tables.orders;
  // Only an operator's command changes the file.
  if (!fleet.facts.areOrdersChanging) return known;
  const path = join(fleet.replicas[0]?.folder ?? '', 'orders.json');
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
