/** Gives an order to all running services, and waits until they follow it, for `keys` and `packages`. */

import { setTimeout as delay } from 'node:timers/promises';
import { dataDirOf, knownAppSettings, ledgerSettings, processSettings } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { Order, Orders } from '../orders/orders.ts';
import { openOrderStore } from '../orders/store.ts';
import type { OrderStore, Replica } from '../orders/store-contract.ts';
import { type ChangeOptions, confirm, goesOn, type PlannedChange } from './change.ts';
import { appNamed } from './named-app.ts';
import { print, say } from './terminal.ts';

/** An app, by the ids that the orders and people use. */
export type NamedApp = { readonly appleItemId: string; readonly bundleId: string };

export type OrderOptions = ChangeOptions & { readonly app?: string; readonly wait?: boolean };

/** An order, and the texts that describe it. */
export type PlannedOrder = {
  readonly order: Order;
  readonly change: PlannedChange;
  /** If true, the command asks for confirmation. */
  readonly mayHarm: boolean;
  /** Printed when the order is in force. */
  readonly done: string;
  /** Printed instead if the order changes nothing. */
  readonly already: string;
  /** Whether a service that follows the order can carry it out; if not, `failure` says what the service needs. */
  readonly fulfilment?: { readonly isIn: (replica: Replica) => boolean; readonly failure: string };
};

/** A service that has not reported for this long has ended or hangs; no command waits for it. */
export const SILENT_SECONDS = 6;
/** How long a command waits for running services. */
const WAIT_MS = 10_000;
/** A service that follows an order carries it out at once, or cannot carry it out. */
const UNABLE_MS = 3000;
const POLL_MS = 50;

/** Opens the order store that belongs to the configured ledger, and closes it after `work`. */
export async function withOrders<T>(work: (store: OrderStore) => Promise<T>): Promise<T> {
  const read = processSettings();
  const store = await openOrderStore({ dataDir: dataDirOf(read.values), ledger: ledgerSettings(read).ledger });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The orders in force. */
export const readOrders = (): Promise<Orders> => withOrders((store) => store.read());

/** Gives an order, and waits until every running service follows it. */
export const changeOrders = (order: Order): Promise<void> =>
  withOrders(async (store) => void (await followers(store, await store.change(order))));

/**
 * Gives the order that `plan` makes for the named app, and prints the result. Throws `state_invalid` if a running service
 * does not follow it in time.
 */
export async function giveOrder(
  options: OrderOptions,
  plan: (app: NamedApp) => PlannedOrder | Promise<PlannedOrder>,
): Promise<void> {
  const { app: name, wait, json } = options;
  await withOrders(async (store) => {
    const app = appNamed(knownApps(await store.replicas()), name);
    const { order, change, mayHarm, done, already, fulfilment } = await plan(app);
    if (!(await (mayHarm ? confirm : goesOn)(change, options))) return;
    const before = await store.read();
    const orders = await store.change(order);
    const isChanged = orders.revision !== before.revision;
    const following = wait ? await followers(store, orders, fulfilment) : [];
    const ids = following.map(({ id }) => id);
    print({ app: app.bundleId, revision: orders.revision, isChanged, ...(wait && { following: ids }) }, json, [
      isChanged ? done : already,
      wait
        ? `Followed by ${ids.length} running ${ids.length === 1 ? 'service' : 'services'}.`
        : 'Running services follow within a second; see webdist status.',
    ]);
  });
}

/** The configured apps, and those that running services report. */
function knownApps(replicas: readonly Replica[]): readonly NamedApp[] {
  const all = [...knownAppSettings(processSettings()).apps, ...replicas.flatMap(({ apps }) => apps)];
  const known = new Map(all.map(({ appleItemId, bundleId }) => [appleItemId, { appleItemId, bundleId }]));
  return [...known.values()];
}

/** Waits until every running service follows the orders and has carried them out; returns these services. */
async function followers(
  store: OrderStore,
  { revision }: Orders,
  { isIn, failure }: NonNullable<PlannedOrder['fulfilment']> = { isIn: () => true, failure: '' },
): Promise<readonly Replica[]> {
  const start = performance.now();
  for (;;) {
    const all = await store.replicas();
    const running = all.filter(({ silentSeconds }) => silentSeconds <= SILENT_SECONDS);
    const behind = running.filter((replica) => replica.revision < revision);
    const unable = running.filter((replica) => replica.revision >= revision && !isIn(replica));
    if (behind.length === 0 && unable.length === 0) {
      for (const { id, silentSeconds } of all.filter((replica) => !running.includes(replica)))
        say(
          `Did not wait for ${id}, which has not reported for ${Math.round(silentSeconds)} s. If it is still running, check its log.`,
        );
      if (running.length === 0) say('No service is running; the order is in force for the next one that starts.');
      return running;
    }
    if (performance.now() > start + UNABLE_MS && behind.length === 0)
      throw new WebdistError('state_invalid', `The order is stored, but ${namesOf(unable)} cannot carry it out.`, {
        hint: failure,
      });
    if (performance.now() > start + WAIT_MS)
      throw new WebdistError(
        'state_invalid',
        `The order is stored, but ${namesOf(behind)} did not follow it in time.`,
        {
          hint: 'See webdist status, and the log of that service.',
        },
      );
    await delay(POLL_MS);
  }
}

const namesOf = (replicas: readonly Replica[]) => replicas.map(({ id }) => id).join(', ');
