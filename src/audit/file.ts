/**
 * An audit file. Several processes of one machine may share it: the process that writes holds a lock, which the system
 * releases if the process dies. A batch counts as written once it is on disk.
 */

import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isWebdistError, WebdistError } from '../errors.ts';
import { type FileLock, openFileLock, waitForLock } from '../file-lock.ts';
import { fileProblem, makeFolder } from '../file-problem.ts';
import { refuseNewer } from '../stored-format.ts';
import { AUDIT_FORMAT } from './chain.ts';
import type { Sink } from './sink.ts';
import { parseLine } from './verify.ts';

/** A process waits at most this long for its turn to write. */
const LOCK_MS = 5000;

/**
 * Opens the file for appending. When its size reaches `maxBytes / 2`, it is renamed to `PATH.1`, and replaces the file of
 * that name; with 0, never. Throws `state_invalid`.
 */
export async function openFileSink(path: string, maxBytes: number): Promise<Sink> {
  const openFile = () => open(path, 'a+', 0o600);
  try {
    makeFolder(dirname(path), 0o700);
    await refuseNewerFile(path, await openFile());
    const lock = openFileLock(`${path}.lock`, 'WEBDIST_AUDIT');
    let file = await openFile();
    // Within this process, too, only one batch may hold the lock at a time.
    let turn: Promise<unknown> = Promise.resolve();
    const inTurn = (work: () => Promise<void>): Promise<void> => {
      const done = turn.then(() => locked(lock, work));
      turn = done.catch(() => undefined);
      return done;
    };
    const reopen = async () => {
      await file.close();
      file = await openFile();
    };
    return {
      name: path,
      write: (lines) =>
        inTurn(async () => {
          if (!(await isAt(path, file))) await reopen();
          if (maxBytes > 0 && (await file.stat()).size >= maxBytes / 2) {
            await rename(path, `${path}.1`);
            await reopen();
          }
          await append(file, lines.map(({ text }) => `${text}\n`).join(''));
        }).catch((cause: unknown) => {
          throw fileProblem(cause, path, 'WEBDIST_AUDIT') ?? cause;
        }),
      reopen: () => inTurn(reopen),
      async close() {
        await turn;
        lock.close();
        await file.close();
      },
    };
  } catch (cause) {
    if (isWebdistError(cause)) throw cause;
    throw (
      fileProblem(cause, path, 'WEBDIST_AUDIT') ??
      new WebdistError('state_invalid', `${path} cannot be written.`, { hint: 'Check WEBDIST_AUDIT.', cause })
    );
  }
}

/** Closes the file. */
async function refuseNewerFile(path: string, opened: FileHandle): Promise<void> {
  await using file = opened;
  refuseNewer(`The audit file ${path}`, await lastFormatIn(file), AUDIT_FORMAT);
}

/** Whether the open file is still the one with this path: another program may have renamed it. */
async function isAt(path: string, file: FileHandle): Promise<boolean> {
  const [own, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return own.ino === there?.ino && own.dev === there.dev;
}

/** Runs `work` while this process holds the lock. Waiting for the lock does not block the event loop. */
async function locked<T>(lock: FileLock, work: () => Promise<T>): Promise<T> {
  if (!(await waitForLock(lock, { forMs: LOCK_MS, everyMs: 5 })))
    throw new Error(`Another process has held the lock for ${LOCK_MS / 1000} s.`);
  try {
    return await work();
  } finally {
    lock.unlock();
  }
}

async function append(file: FileHandle, text: string): Promise<void> {
  const { size } = await file.stat();
  try {
    // A process that was killed while writing has left an incomplete line. End it here.
    await file.appendFile(((await lastByte(file, size)) === '\n' ? '' : '\n') + text);
    await file.datasync();
  } catch (error) {
    // A part may have been written, for example to a full disk. It is cut off, and the retry writes the whole batch.
    await file.truncate(size).catch(() => undefined);
    throw error;
  }
}

/** Longer than any line. */
const TAIL_BYTES = 64 * 1024;

/** The format of the last complete line. */
async function lastFormatIn(file: FileHandle): Promise<number | undefined> {
  const { size } = await file.stat();
  if (size === 0) return undefined;
  const length = Math.min(size, TAIL_BYTES);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
  const lines = buffer.toString('utf8').split('\n').map(parseLine);
  return lines.findLast((line) => line !== undefined)?.format;
}

/** An empty file counts as one whose last line is complete. */
async function lastByte(file: FileHandle, size: number): Promise<string> {
  if (size === 0) return '\n';
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString('latin1');
}
