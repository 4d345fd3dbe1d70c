/**
 * The audit file: one line for each token, appended in batches, each batch on the disk before it counts as written.
 * Any number of processes of one machine may share a file: whoever writes holds its lock, which the system takes back
 * from a process that dies.
 */

import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import { type AuditEntry, CHAIN_START, hashOf, lineOf } from './chain.ts';

export interface Audit {
  /** Takes note; on the disk within a moment. Gives false when too much waits already, because nothing can be written. */
  record(entry: AuditEntry): boolean;
  /** Writes what waits. Throws `state_invalid` when that cannot be done. */
  close(): Promise<void>;
}

export type AuditParts = {
  /** After each batch: how many lines it had, and the hash of the last one, to be kept somewhere else. */
  readonly written: (lines: number, head: string) => void;
  /** A batch that could not be written; it is tried again. */
  readonly failed: (error: unknown) => void;
};

const BATCH_MS = 100;
const AGAIN_MS = 1000;
/** Some 30 MB: hours of a disk that is full, or a minute of the greatest load. */
const MOST_WAITING = 100_000;
/** Several processes wait this long for their turn to write. */
const LOCK_MS = 5000;
/** A line is far shorter. */
const TAIL_BYTES = 64 * 1024;

/** Opens a file to append to, and repairs its end if a process was killed while writing. Throws `state_invalid`. */
export async function openAudit(path: string, { written, failed }: AuditParts): Promise<Audit> {
  const file = await openFile(path);
  let waiting: AuditEntry[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const write = async () => {
    const batch = waiting;
    waiting = [];
    try {
      const head = await file.append(batch);
      if (batch.length > 0) written(batch.length, head);
    } catch (error) {
      waiting = [...batch, ...waiting];
      throw error;
    }
  };
  const later = (ms: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      writing = writing.then(write).catch((error: unknown) => {
        failed(error);
        later(AGAIN_MS);
      });
    }, ms).unref();
  };
  await write();
  return {
    record(entry) {
      if (waiting.length >= MOST_WAITING) return false;
      waiting.push(entry);
      later(BATCH_MS);
      return true;
    },
    async close() {
      clearTimeout(timer);
      await writing;
      clearTimeout(timer);
      try {
        await write();
      } catch (cause) {
        throw new WebdistError('state_invalid', `${path}: ${waiting.length} lines could not be written.`, { cause });
      } finally {
        await file.close();
      }
    },
  };
}

async function openFile(path: string) {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, 'a+', 0o600);
    const lock = new DatabaseSync(`${path}.lock`, { timeout: 0 });
    return {
      /** Appends lines as one write, to the disk; gives the hash of the file's last line. */
      append: (entries: readonly AuditEntry[]) => locked(lock, () => appendTo(handle, entries)),
      async close() {
        lock.close();
        await handle.close();
      },
    };
  } catch (cause) {
    throw new WebdistError('state_invalid', `${path} cannot be written.`, { hint: 'Check WEBDIST_AUDIT.', cause });
  }
}

/** Only the lock of SQLite's file is used: the one lock among processes that Node has. Nobody waits in the way of others. */
async function locked<T>(lock: DatabaseSync, work: () => Promise<T>): Promise<T> {
  const end = Date.now() + LOCK_MS;
  for (;;) {
    try {
      lock.exec('BEGIN EXCLUSIVE');
      break;
    } catch (error) {
      if (Date.now() > end) throw error;
      await delay(5);
    }
  }
  try {
    return await work();
  } finally {
    lock.exec('ROLLBACK');
  }
}

async function appendTo(file: FileHandle, entries: readonly AuditEntry[]): Promise<string> {
  const { tail, tornBytes } = await readTail(file);
  let head = tail === undefined ? CHAIN_START : hashOf(tail);
  const lines: string[] = [];
  const add = (entry: Parameters<typeof lineOf>[0]) => {
    const line = lineOf(entry, head);
    head = hashOf(line);
    lines.push(`${line}\n`);
  };
  if (tornBytes > 0) {
    await file.truncate((await file.stat()).size - tornBytes);
    add({ at: new Date().toISOString(), repairedBytes: tornBytes });
  }
  for (const entry of entries) add(entry);
  if (lines.length === 0) return head;
  const { size } = await file.stat();
  try {
    await file.appendFile(lines.join(''));
    await file.datasync();
  } catch (error) {
    // A part may have been written, to a full disk say; it is written anew as a whole.
    await file.truncate(size);
    throw error;
  }
  return head;
}

/** The last whole line, and how many bytes of a torn one follow it. */
async function readTail(file: FileHandle): Promise<{ tail: string | undefined; tornBytes: number }> {
  const { size } = await file.stat();
  const length = Math.min(size, TAIL_BYTES);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
  const end = buffer.lastIndexOf('\n');
  const tornBytes = length - (end + 1);
  if (end < 0) return { tail: undefined, tornBytes };
  const start = buffer.lastIndexOf('\n', end - 1) + 1;
  return { tail: buffer.toString('utf8', start, end), tornBytes };
}
