/** A thread that opens new ledgers one after another, each of them at the same moment as the other threads. */

import { parentPort, workerData } from 'node:worker_threads';
import { openLedger } from '../../src/ledger/ledger.ts';

const { urls, threads, arrived } = workerData as { urls: string[]; threads: number; arrived: Int32Array };
for (const [index, url] of urls.entries()) {
  Atomics.add(arrived, index, 1);
  while (Atomics.load(arrived, index) < threads);
  const ledger = await openLedger(url);
  await ledger.ping();
  await ledger.close();
}
parentPort?.postMessage('opened');
