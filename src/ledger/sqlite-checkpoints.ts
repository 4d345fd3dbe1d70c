/**
 * Copying a SQLite log into its file (a checkpoint) takes a disk a tenth of a second now and then. Done here in a thread of
 * its own, so that no request waits for it. A reader may skip this file: without it the ledger does the same by itself.
 */

import { DatabaseSync } from 'node:sqlite';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const PAUSE_MS = 500;

export type Checkpoints = {
  /** Says that something was written: it is copied soon. */
  due(): void;
  /** Ends when nothing is being copied any more. */
  close(): Promise<void>;
};

/** For the database at a path; the thread starts with the first writing. */
export function openCheckpoints(path: string): Checkpoints {
  let worker: Worker | undefined;
  let timer: NodeJS.Timeout | undefined;
  return {
    due() {
      worker ??= startWorker(path);
      timer ??= setTimeout(() => {
        timer = undefined;
        worker?.postMessage('due');
      }, PAUSE_MS).unref();
    },
    async close() {
      clearTimeout(timer);
      await worker?.terminate();
    },
  };
}

function startWorker(path: string): Worker {
  const worker = new Worker(new URL(import.meta.url), { workerData: path });
  worker.unref();
  // What it cannot do the ledger does by itself, and says so if it cannot either.
  worker.on('error', () => undefined);
  return worker;
}

if (!isMainThread && typeof workerData === 'string') {
  const database = new DatabaseSync(workerData, { timeout: 0 });
  parentPort?.on('message', () => {
    database.exec('PRAGMA wal_checkpoint(PASSIVE)');
  });
}
