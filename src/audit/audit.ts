/**
 * The audit file: one line for each token, appended in batches. A batch counts as written once it is on disk. Several
 * processes of one machine may share a file. The process that writes holds a lock, which the system releases if the
 * process dies.
 */

import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import { type FileLock, openFileLock } from '../file-lock.ts';
import { fileProblem } from '../file-problem.ts';
import { type AuditEntry, CHAIN_START, hashOf, lineOf } from './chain.ts';

/** An open audit file. */
export interface Audit {
  /**
   * Queues a line, which is written to disk soon after. Returns false if the queue is full because the file cannot be
   * written.
   */
  record(entry: AuditEntry): boolean;
  /** Writes the queue. Throws `state_invalid` when that fails. */
  close(): Promise<void>;
}

/** Called after lines were written, or could not be written. */
export type AuditDeps = {
  /**
   * Called after each batch with its number of lines and the hash of the last line, which should also be kept
   * elsewhere.
   */
  readonly written: (lines: number, head: string) => void;
  /** Called when a batch could not be written; it is retried. */
  readonly failed: (error: unknown) => void;
};

const BATCH_MS = 100;
const RETRY_MS = 1000;
/** About 30 MB, which lasts for hours with a full disk at normal load, or for a minute at the highest load. */
const MAX_QUEUED = 100_000;
/** A process waits at most this long for its turn to write. */
const LOCK_MS = 5000;
/** Far more than the length of a line. */
const TAIL_BYTES = 64 * 1024;

/** Opens a file for appending and repairs its end if a process was killed while it wrote. Throws `state_invalid`. */
export async function openAudit(path: string, { written, failed }: AuditDeps): Promise<Audit> {
  const file = await openFile(path);
  let queue: AuditEntry[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const write = async () => {
    const batch = queue;
    queue = [];
    try {
      const head = await file.append(batch);
      if (batch.length > 0) written(batch.length, head);
    } catch (error) {
      queue = [...batch, ...queue];
      throw error;
    }
  };
  const writeAfter = (ms: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      writing = writing.then(write).catch((error: unknown) => {
        failed(error);
        writeAfter(RETRY_MS);
      });
    }, ms).unref();
  };
  await write();
  return {
    record(entry) {
      if (queue.length >= MAX_QUEUED) return false;
      queue.push(entry);
      writeAfter(BATCH_MS);
      return true;
    },
    async close() {
      clearTimeout(timer);
      await writing;
      clearTimeout(timer);
      try {
        await write();
      } catch (cause) {
        const why = fileProblem(cause, path, 'WEBDIST_AUDIT')?.detail ?? `${path} cannot be written.`;
        const lines = queue.length === 1 ? 'line is' : 'lines are';
        throw new WebdistError('state_invalid', `${why} ${queue.length} ${lines} missing at its end.`, {
          hint: 'The log has a line for each of these tokens (install_token_issued).',
          cause,
        });
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
    const lock = openFileLock(`${path}.lock`, 'WEBDIST_AUDIT');
    return {
      /** Appends the lines in one write and syncs it; returns the hash of the file's last line. */
      append: (entries: readonly AuditEntry[]) => locked(lock, () => appendTo(handle, entries)),
      async close() {
        lock.close();
        await handle.close();
      },
    };
  } catch (cause) {
    throw (
      fileProblem(cause, path, 'WEBDIST_AUDIT') ??
      new WebdistError('state_invalid', `${path} cannot be written.`, { hint: 'Check WEBDIST_AUDIT.', cause })
    );
  }
}

/** Runs `work` while this process holds the lock. Waiting for the lock does not block the event loop. */
async function locked<T>(lock: FileLock, work: () => Promise<T>): Promise<T> {
  const end = Date.now() + LOCK_MS;
  while (!lock.tryLock()) {
    if (Date.now() > end) throw new Error(`Another process has held the lock for ${LOCK_MS / 1000} s.`);
    await delay(5);
  }
  try {
    return await work();
  } finally {
    lock.unlock();
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
    // A part may have been written, for example to a full disk. It is cut off here, and the retry writes the whole
    // batch. If this fails too, the retry repairs the end of the file.
    await file.truncate(size).catch(() => undefined);
    throw error;
  }
  return head;
}

/** Returns the last complete line, and the number of bytes of an incomplete line after it. */
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
