/**
 * A lock between processes of one machine. It uses the lock of an SQLite file, because Node has no other. The system
 * releases it when its holder dies.
 */

import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { fileProblem, makeFolder, withFileProblems } from './file-problem.ts';

/** An opened lock. Opening does not take the lock. */
export type FileLock = {
  /** Tries to take the lock. Returns at once whether this process holds it now. */
  tryLock(): boolean;
  unlock(): void;
  /** Unlocks as well. */
  close(): void;
};

const SQLITE_BUSY = 5;

/**
 * Creates a file that only this user can read, where SQLite would let everyone read it. SQLite gives its journals the
 * same mode. An existing file is not opened: closing it would release this process's locks on it.
 */
export function createPrivateFile(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
}

/** Creates the file if there is none. `setting` names the place for the operator. Throws `state_invalid`, also from `tryLock`. */
export function openFileLock(path: string, setting: string): FileLock {
  const reporting = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw fileProblem(error, path, setting) ?? error;
    }
  };
  const database = reporting(() => {
    createPrivateFile(path);
    return new DatabaseSync(path, { timeout: 0 });
  });
  const lock = () => {
    try {
      database.exec('BEGIN EXCLUSIVE');
      return true;
    } catch (error) {
      if ((error as { errcode?: unknown }).errcode === SQLITE_BUSY) return false;
      throw error;
    }
  };
  return {
    tryLock: () => reporting(lock),
    unlock: () => database.exec('ROLLBACK'),
    close: () => database.close(),
  };
}

/**
 * Tries to take the lock every `everyMs`, without blocking the event loop. Returns false if another process still holds it
 * after `forMs` milliseconds.
 */
export async function waitForLock(
  lock: FileLock,
  { forMs, everyMs }: { readonly forMs: number; readonly everyMs: number },
): Promise<boolean> {
  const end = performance.now() + forMs;
  while (!lock.tryLock()) {
    if (performance.now() > end) return false;
    await delay(everyMs);
  }
  return true;
}

/** Opens a lock in the data folder, which is created if it does not exist. Throws `state_invalid`. */
export async function openLockIn(dataDir: string, name: string): Promise<FileLock> {
  await withFileProblems(dataDir, 'WEBDIST_DATA_DIR', () => makeFolder(dataDir, 0o700));
  return openFileLock(join(dataDir, name), 'WEBDIST_DATA_DIR');
}
