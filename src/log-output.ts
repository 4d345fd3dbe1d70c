/**
 * Writes the log to stdout without ever blocking the service. Lines that cannot be written wait in memory, up to a
 * limit. Further lines are lost and counted, and the count is reported when the output works again.
 */

import { write as writeFile, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DestinationStream } from 'pino';

export type LossListener = {
  /** Called with the number of lines that were just lost. The first call includes those lost before. */
  count(lines: number): void;
  /** Called with the number of lines lost since the last report, once all waiting lines are written. */
  report(lines: number): void;
};

export type LogOutput = DestinationStream & {
  listen(listener: LossListener): void;
  /** Resolves when no line is waiting, or after a second. */
  flush(): Promise<void>;
};

/** Where bytes are written. */
type Sink = {
  /** Resolves with the number of bytes written. Rejects with a system error. */
  write(chunk: Buffer): Promise<number>;
  /**
   * Writes the last chunk synchronously, while the process ends. `isWriting` means that a `write` is in progress.
   * Throws a system error.
   */
  writeLast(chunk: Buffer, isWriting: boolean): void;
};

const MAX_WAITING_CHARACTERS = 1024 * 1024;
const CHUNK_CHARACTERS = 64 * 1024;
const RETRY_MS = 500;
const FLUSH_MS = 1000;
/**
 * After a write, further lines wait this long, so that they are written together. A write for each tick would cost 12 %
 * of the CPU time of a token with one connection, and 4 % with 64.
 */
const GATHER_MS = 10;

/** The log on stdout. Handles stdout's errors, so that a closed pipe does not end the process. Open it only once. */
export function openStdout(): LogOutput {
  process.stdout.removeAllListeners('error').on('error', () => undefined);
  const output = openOutput(process.stdout instanceof Socket ? pipeSink(process.stdout) : fileSink(1));
  process.once('exit', output.writeLast);
  return output;
}

function openOutput(sink: Sink): LogOutput & { writeLast(): void } {
  let lines: string[] = [];
  /** The rest of the chunk that is being written. */
  let rest = Buffer.alloc(0);
  let waitingCharacters = 0;
  let lost = 0;
  let unreported = 0;
  let isWriting = false;
  let running: Promise<void> | undefined;
  let listener: LossListener | undefined;

  const lose = (count: number) => {
    lost += count;
    unreported += count;
    listener?.count(count);
  };
  const takeChunk = () => {
    let end = 0;
    for (let length = 0; end < lines.length && length < CHUNK_CHARACTERS; end += 1) length += lines[end]?.length ?? 0;
    const chunk = lines.splice(0, end).join('');
    waitingCharacters -= chunk.length;
    rest = Buffer.from(chunk);
  };
  const writeRest = async () => {
    isWriting = true;
    try {
      rest = rest.subarray(await sink.write(rest));
      isWriting = false;
    } catch (error) {
      isWriting = false;
      if (hasNoReader(error)) {
        lose(linesIn(rest) + lines.length);
        rest = Buffer.alloc(0);
        lines = [];
        waitingCharacters = 0;
      }
      await delay(RETRY_MS, undefined, { ref: false });
    }
  };
  const run = async () => {
    while (rest.length > 0 || lines.length > 0) {
      if (rest.length === 0) takeChunk();
      await writeRest();
      if (waitingCharacters < CHUNK_CHARACTERS) await delay(GATHER_MS, undefined, { ref: false });
    }
    running = undefined;
  };
  const reportLoss = () => {
    if (unreported === 0 || !listener) return;
    const count = unreported;
    unreported = 0;
    listener.report(count);
  };
  return {
    write(line) {
      if (waitingCharacters + line.length > MAX_WAITING_CHARACTERS) return lose(1);
      lines.push(line);
      waitingCharacters += line.length;
      running ??= run().then(reportLoss);
    },
    listen(newListener) {
      listener = newListener;
      if (lost > 0) listener.count(lost);
    },
    async flush() {
      const end = performance.now() + FLUSH_MS;
      for (let left = FLUSH_MS; running && left > 0; left = end - performance.now())
        await Promise.race([running, delay(left)]);
    },
    writeLast() {
      const waiting = Buffer.from(lines.join(''));
      try {
        sink.writeLast(isWriting ? waiting : Buffer.concat([rest, waiting]), isWriting);
      } catch {
        // The process is ending, and its log cannot be written.
      }
    },
  };
}

/** Returns the number of lines that end in a chunk. */
const linesIn = (chunk: Buffer): number => chunk.toString().split('\n').length - 1;

/** Whether the waiting lines can never be written, because the reader of the pipe or socket is gone. */
const hasNoReader = (error: unknown): boolean =>
  ['EPIPE', 'ECONNRESET', 'ENOTCONN'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Writes to a file or a device in the thread pool. */
const fileSink = (fd: number): Sink => ({
  write: async (chunk) => (await promisify(writeFile)(fd, chunk)).bytesWritten,
  writeLast: (chunk) => writeAll(fd, chunk),
});

/**
 * Writes to a pipe, a socket or a terminal through Node's stream, which does not block if the reader is slow. A write
 * in the thread pool would block a thread, and the process could not end.
 */
const pipeSink = (stream: Socket & { fd: number }): Sink => ({
  write: (chunk) =>
    new Promise((resolve, reject) => {
      stream.write(chunk, (error) => (error ? reject(error) : resolve(chunk.length)));
    }),
  writeLast(chunk, isWriting) {
    // The pipe is full in the middle of a line.
    if (!isWriting) writeAll(stream.fd, chunk);
  },
});

function writeAll(fd: number, chunk: Buffer): void {
  for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done);
}
