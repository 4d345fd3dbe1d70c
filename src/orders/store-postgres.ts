/**
 * The order store that all replicas share, in the PostgreSQL database of the ledger. Each machine keeps a copy of the orders
 * in its data folder, to start with when the database is down.
 */

import type { LedgerAddress } from '../ledger/contract.ts';
import { openPostgresDatabase } from '../ledger/postgres-database.ts';
import { NO_ORDERS, type Orders, obey, ordersText, parseOrders } from './orders.ts';
import { FORGET_SECONDS, type OrderStore, parseReport } from './store-contract.ts';
import type { FileOrderStore } from './store-file.ts';

const READ = 'SELECT orders FROM webdist_orders';
const WRITE = `
  INSERT INTO webdist_orders (orders) VALUES ($1) ON CONFLICT (only_one) DO UPDATE SET orders = excluded.orders`;
const REPORT = `
  INSERT INTO webdist_replica (id, report, seen_at) VALUES ($1, $2, now())
  ON CONFLICT (id) DO UPDATE SET report = excluded.report, seen_at = excluded.seen_at`;
const REPLICAS =
  'SELECT report, extract(epoch FROM now() - seen_at)::float8 AS silent FROM webdist_replica ORDER BY id';

/** A service that stops waits for its last report. */
const REPORT_LIMIT_MS = 2000;

/** The advisory lock under which orders are changed. The number is arbitrary, but the same in every command. */
const LOCK = 0x77646f72;

/** Throws `config_invalid` or `state_invalid` as opening the database does. */
export async function openPostgresOrderStore(address: LedgerAddress, file: FileOrderStore): Promise<OrderStore> {
  const database = await openPostgresDatabase(address);
  let copied = -1;
  /** The orders must be followed even if the copy cannot be written. */
  const withCopy = async (orders: Orders) => {
    if (orders.revision !== copied)
      await file.remember(orders).then(
        () => (copied = orders.revision),
        () => undefined,
      );
    return orders;
  };
  const parsed = (rows: readonly Record<string, unknown>[]) =>
    rows[0] ? parseOrders(String(rows[0]['orders'])) : NO_ORDERS;
  /** Stores the orders that `next` returns, unless it returns the current ones unchanged. */
  const update = (next: (before: Orders) => Orders): Promise<Orders> =>
    database.transaction(async (query) => {
      await query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
      const before = parsed(await query(READ));
      const after = next(before);
      if (after !== before) await query(WRITE, [ordersText(after)]);
      return after;
    });
  return {
    read: async () => withCopy(parsed(await database.query(READ))),
    remembered: file.remembered,
    change: (order) => update((before) => obey(before, order)),
    adopt: async (orders) => (await update((before) => (before.revision === 0 ? orders : before))) === orders,
    // A report may take longer than a request, because no visitor waits for it, and a service without reports counts as
    // silent.
    report: (report) =>
      database.transaction(
        async (query) => void (await query(REPORT, [report.id, JSON.stringify(report)])),
        REPORT_LIMIT_MS,
      ),
    async leave(id) {
      await database.query('DELETE FROM webdist_replica WHERE id = $1 OR seen_at < now() - make_interval(secs => $2)', [
        id,
        FORGET_SECONDS,
      ]);
    },
    replicas: async () =>
      (await database.transaction((query) => query(REPLICAS))).map((row) => ({
        ...parseReport(String(row['report'])),
        silentSeconds: Number(row['silent']),
      })),
    close: () => database.close(),
  };
}
