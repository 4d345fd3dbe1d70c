/** `webdist status`: prints the reports of running services, and the orders in force. */

import { setTimeout as delay } from 'node:timers/promises';
import { type Orders, ordersFor } from '../../orders/orders.ts';
import type { OrderStore, Replica } from '../../orders/store-contract.ts';
import { SILENT_SECONDS, withOrders } from '../orders.ts';
import { type JsonOption, type Line, print, table } from '../terminal.ts';

const WATCH_MS = 1000;
const CLEAR = '\u001b[H\u001b[2J';

export async function showStatus({ watch, json }: JsonOption & { readonly watch?: boolean }): Promise<void> {
  await withOrders(async (store) => {
    do {
      const status = await readStatus(store);
      if (watch && process.stdout.isTTY) process.stdout.write(CLEAR);
      print(status, json, linesOf(status));
      if (watch) await delay(WATCH_MS);
    } while (watch);
  });
}

type Status = { readonly orders: Orders; readonly replicas: readonly (Replica & { readonly state: string })[] };

async function readStatus(store: OrderStore): Promise<Status> {
  const [orders, replicas] = await Promise.all([store.read(), store.replicas()]);
  return { orders, replicas: replicas.map((one) => ({ ...one, state: stateOf(one, orders) })) };
}

function stateOf({ silentSeconds, isReady, revision }: Replica, orders: Orders): string {
  if (silentSeconds > SILENT_SECONDS) return `silent for ${Math.round(silentSeconds)} s`;
  const readiness = isReady ? 'ready' : 'not ready';
  return revision === orders.revision ? readiness : `${readiness}, follows order ${revision} of ${orders.revision}`;
}

/** The version that links install, marked if it is not the ordered one. */
function versionOf({ appleItemId, appleVersionId }: Replica['apps'][number], orders: Orders): string {
  const { used } = ordersFor(orders, appleItemId);
  const given = appleVersionId ?? '';
  return used === undefined || used === appleVersionId ? given : `${given || 'none'}, not ${used}`;
}

function linesOf({ orders, replicas }: Status): Line[] {
  const names = new Map(replicas.flatMap(({ apps }) => apps.map((app) => [app.appleItemId, app.bundleId] as const)));
  const rows = replicas.flatMap(({ id, version, state, startedAt, apps }) =>
    apps.map((app, index) => [
      ...(index === 0 ? [id, version, state, startedAt] : ['', '', '', '']),
      app.bundleId,
      app.keyId ?? 'none',
      versionOf(app, orders),
    ]),
  );
  const checking = replicas
    .filter(({ apple }) => apple.checkedAt !== null)
    .map(({ id, apple: { checkedAt, limit, remaining } }) => [
      id,
      checkedAt ?? '',
      limit === null ? '' : `${remaining} of ${limit} in this hour`,
    ])
    .sort(([, a = ''], [, b = '']) => b.localeCompare(a));
  const inForce = Object.entries(orders.apps).filter(
    ([, { isStopped, held, used }]) => isStopped || held.length > 0 || used !== undefined,
  );
  const given = inForce.map(([appleItemId, { isStopped, held, used }]) => [
    names.get(appleItemId) ?? appleItemId,
    isStopped ? 'stopped' : 'signing',
    held.join(', '),
    used ?? 'newest',
  ]);
  return [
    ...(rows.length === 0
      ? ['No service is running.']
      : table(['SERVICE', 'VERSION', 'STATE', 'STARTED', 'APP', 'KEY ID', 'APPLEVERSIONID'], rows)),
    '',
    ...(checking.length === 0 ? [] : [...table(['CHECKS AT APPLE', 'LAST CHECK', 'REQUESTS LEFT'], checking), '']),
    ...(given.length === 0
      ? ['No orders are in force.']
      : table([`ORDERS, REVISION ${orders.revision}`, 'KEY', 'HELD', 'USED'], given)),
  ];
}
