/**
 * A lock between processes of one machine: that of an SQLite file, the only one that Node has. The system releases it when
 * the process that holds it dies.
 */

import { DatabaseSync } from 'node:sqlite';

/** A lock that other processes may hold; opened without holding it. */
export type FileLock = {
  /** Returns at once: whether this process holds the lock now. */
  tryLock(): boolean;
  unlock(): void;
  /** Unlocks as well. */
  close(): void;
};

const SQLITE_BUSY = 5;

/** Creates the file if there is none. Throws SQLite's error when that is not possible. */
export function openFileLock(path: string): FileLock {
  const database = new DatabaseSync(path, { timeout: 0 });
  return {
    tryLock() {
      try {
        database.exec('BEGIN EXCLUSIVE');
        return true;
      } catch (error) {
        if ((error as { errcode?: unknown }).errcode === SQLITE_BUSY) return false;
        throw error;
      }
    },
    unlock: () => database.exec('ROLLBACK'),
    close: () => database.close(),
  };
}
