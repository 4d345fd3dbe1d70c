/**
 * A lock between processes of one machine. It uses the lock of an SQLite file, because Node has no other. The system
 * releases it when its holder dies.
 */

import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

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

/** Creates the file if there is none. Throws a system error or SQLite's error if that is not possible. */
export function openFileLock(path: string): FileLock {
  createPrivateFile(path);
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
