/**
 * Follows the orders in one service. It reads them four times a second. It also reads them before it issues a token if
 * the last read is too old, for example after the process was suspended. If the orders cannot be read for three seconds,
 * the last known orders stay in force until they can be read again. A process that was suspended meanwhile reads once more
 * before it issues a token.
 */

import type { Logger } from 'pino';
import { hasCode } from '../errors.ts';
import { countSuspensions } from '../suspensions.ts';
import { type AppOrders, NO_ORDERS, type Orders, ordersFor } from './orders.ts';
import type { OrderStore, ReplicaReport } from './store-contract.ts';

export interface FollowedOrders {
  /** The orders for an app, as last read. */
  of(app: { readonly appleItemId: string }): AppOrders;
  /** Undefined if the last read is recent enough, which is almost always the case. Never throws. */
  ensureFresh(): Promise<void> | undefined;
  /** Why the orders cannot be read. */
  readonly problem: string | undefined;
  /** Starts reporting this service to the store; `changed` is called with every change of the orders. */
  join(own: () => OwnReport, changed: (orders: Orders) => void): void;
  /** Reports again with the next read of the orders, because something in the report has changed. */
  reportSoon(): void;
  close(): Promise<void>;
}

/** The part of the report that the service provides. The rest is added here. */
export type OwnReport = Omit<ReplicaReport, 'revision' | 'since'>;

const READ_MS = 250;
const FRESH_MS = 750;
/**
 * A busy database occasionally misses the time limit of a single read. Until this time has passed, tokens wait for the
 * next read.
 */
const UNREADABLE_MS = 3000;
/** The longest wait of a token for a read. A statement takes 200 ms at most, a new connection longer. */
const WAIT_MS = 250;
const REPORT_MS = 2000;

export type FollowDeps = {
  readonly store: OrderStore;
  readonly log: Logger;
  /** Milliseconds since 1970, for the report. */
  readonly now: () => number;
  /** Milliseconds that only go forward. Default: `performance.now`. */
  readonly elapsed?: () => number;
};

/** Reads the orders once, then until `close`. Throws `state_invalid` when neither the store nor its copy can be read. */
export async function followOrders({
  store,
  log,
  now,
  elapsed = () => performance.now(),
}: FollowDeps): Promise<FollowedOrders> {
  let orders: Orders = NO_ORDERS;
  let since = new Date(now()).toISOString();
  let problem: string | undefined;
  let failure: unknown;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  const suspensions = countSuspensions(elapsed, FRESH_MS);
  /** The number of suspensions when the last completed read began. */
  let readAfter = 0;
  let own: (() => OwnReport) | undefined;
  let onChange: ((orders: Orders) => void) | undefined;
  let reportedAt = Number.NEGATIVE_INFINITY;
  let reporting: Promise<void> | undefined;

  const report = () => {
    if (!own || reporting) return;
    reportedAt = elapsed();
    // A lost report does no harm: the next one follows soon, and `webdist status` shows services that do not report.
    reporting = store
      .report({ ...own(), revision: orders.revision, since })
      .catch(() => undefined)
      .finally(() => {
        reporting = undefined;
      });
  };
  const follow = (next: Orders) => {
    if (next.revision === orders.revision) return;
    orders = next;
    since = new Date(now()).toISOString();
    log.info({ event: 'orders_followed', revision: orders.revision, apps: orders.apps }, 'following new orders');
    reportedAt = Number.NEGATIVE_INFINITY;
    onChange?.(orders);
  };
  const readOnce = async () => {
    const began = elapsed();
    const after = suspensions();
    try {
      follow(await store.read());
      readAt = began;
      if (problem !== undefined) log.info({ event: 'orders_readable' }, 'the orders can be read again');
      problem = undefined;
    } catch (err) {
      failure = err;
      if (problem === undefined && elapsed() - readAt >= UNREADABLE_MS) {
        log.error({ event: 'orders_unreadable', err }, 'the orders cannot be read; those last known stay in force');
        problem = 'They cannot be read; those last known stay in force.';
      }
    }
    readAfter = after;
    if (elapsed() - reportedAt >= REPORT_MS) report();
  };
  const read = () => {
    suspensions();
    reading ??= readOnce().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  const isOld = () => (problem === undefined ? elapsed() - readAt > FRESH_MS : suspensions() !== readAfter);

  /** Waits for a read, but only for a limited time, in case the database does not answer. */
  const readInTime = () => {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, WAIT_MS);
    // The read in progress may have begun too long ago. In that case, a second read is needed.
    const fresh = read().then(() => (isOld() ? read() : undefined));
    return Promise.race([fresh, late]).finally(() => clearTimeout(timer));
  };

  await read();
  // Any other error, such as a newer format, does not mean that the store is unreachable.
  if (hasCode(failure, 'state_invalid')) throw failure;
  if (problem !== undefined) follow(await store.remembered());
  const polling = setInterval(read, READ_MS).unref();
  return {
    of: ({ appleItemId }) => ordersFor(orders, appleItemId),
    ensureFresh: () => (isOld() ? readInTime() : undefined),
    get problem() {
      return problem;
    },
    join(described, changed) {
      own = described;
      onChange = changed;
      report();
    },
    reportSoon() {
      reportedAt = Number.NEGATIVE_INFINITY;
    },
    async close() {
      clearInterval(polling);
      await reading;
      await reporting;
      if (own) await store.leave(own().id).catch(() => undefined);
      await store.close();
    },
  };
}
