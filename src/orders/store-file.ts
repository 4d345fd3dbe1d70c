/**
 * The order store of one machine: `orders.json` and a folder of reports in the data folder, which all services there share.
 */

import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isWebdistError, WebdistError } from '../errors.ts';
import { openLockIn, waitForLock } from '../file-lock.ts';
import { replaceFile } from '../replace-file.ts';
import { NO_ORDERS, type Orders, obey, ordersText, parseOrders } from './orders.ts';
import { FORGET_SECONDS, type OrderStore, parseReport, type Replica } from './store-contract.ts';

/** How long a command waits for another command that is writing. */
const LOCK_MS = 5000;
const LOCK_RETRY_MS = 20;

/** The file store also keeps the copy of shared orders that a machine starts with when the shared store is down. */
export interface FileOrderStore extends OrderStore {
  /** Replaces the orders with a copy of the shared orders. */
  remember(orders: Orders): Promise<void>;
}

/** Opens the store in a data folder, which is created on the first write. */
export function openFileOrderStore(dataDir: string): FileOrderStore {
  const path = join(dataDir, 'orders.json');
  const folder = join(dataDir, 'replicas');
  const reportPath = (id: string) => join(folder, `${id.replace(/[^\w.-]/g, '_')}.json`);
  const read = async (): Promise<Orders> => {
    try {
      return parseOrders(await readFile(path, 'utf8'));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return NO_ORDERS;
      if (isWebdistError(cause)) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      throw code === undefined
        ? new WebdistError('state_invalid', `${path} is damaged.`, {
            hint: 'Delete it, then repeat the orders that are still needed (keys stop, packages hold, packages use).',
            cause,
          })
        : new WebdistError('state_invalid', `${path} cannot be read (${code}).`, { cause });
    }
  };
  const remember = (orders: Orders) => replaceFile(path, `${ordersText(orders)}\n`);
  /** Stores the orders that `next` returns, unless it returns the current ones unchanged. */
  const update = async (next: (before: Orders) => Orders): Promise<Orders> => {
    await using _ = await locked(dataDir);
    const before = await read();
    const after = next(before);
    if (after !== before) await remember(after);
    return after;
  };
  return {
    read,
    remembered: read,
    remember,
    change: (order) => update((before) => obey(before, order)),
    adopt: async (orders) => (await update((before) => (before.revision === 0 ? orders : before))) === orders,
    report: (report) => replaceFile(reportPath(report.id), JSON.stringify(report)),
    leave: (id) => rm(reportPath(id), { force: true }),
    async replicas() {
      const names = await readdir(folder).catch(() => []);
      const found = await Promise.all(
        names.filter((name) => name.endsWith('.json')).map((name) => readReport(join(folder, name))),
      );
      return found.filter((replica) => replica !== undefined);
    },
    async close() {
      // Nothing is kept open.
    },
  };
}

/** Returns undefined if the service has just ended, or if its report is too old. An old report is deleted. */
async function readReport(path: string): Promise<Replica | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    const silentSeconds = Math.max(0, (Date.now() - mtimeMs) / 1000);
    if (silentSeconds <= FORGET_SECONDS) return { ...parseReport(text), silentSeconds };
    await rm(path, { force: true });
    return undefined;
  } catch {
    return undefined;
  }
}

/** The system releases the lock of a command that was killed. */
async function locked(dataDir: string): Promise<AsyncDisposable> {
  const lock = await openLockIn(dataDir, 'orders.lock');
  if (!(await waitForLock(lock, { forMs: LOCK_MS, everyMs: LOCK_RETRY_MS }))) {
    lock.close();
    throw new WebdistError('state_invalid', 'Another command is changing the orders.', { hint: 'Try again.' });
  }
  return { [Symbol.asyncDispose]: async () => lock.close() };
}
