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
  const { isStopped, held, used } = ordersFor(orders, fleet.apple.app.id);
  const inForce = [
    ...(isStopped ? ['stop'] : []),
    ...held.map((id) => `hold ${id}`),
    ...(used === undefined ? [] : [`use ${used}`]),
  ];
  const { since } = fleet.facts.orders;
  fleet.facts.orders = {
    since: new Map(inForce.map((order) => [order, since.get(order) ?? trueTime()])),
    changedAt: trueTime(),
    revision: orders.revision,
  };
}

function storedOrders(fleet: Fleet): string | undefined {
  const tables = postgresTables(fleet);
  if (tables) return tables.orders;
  // Only an operator's command changes the file.
  if (fleet.facts.ordersInProgress === 0) return known;
  const path = join(fleet.replicas[0]?.folder ?? '', 'orders.json');
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
