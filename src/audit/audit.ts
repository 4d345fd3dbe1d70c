/**
 * The audit log: collects events, chains them into lines, and writes these in batches to one or several sinks. A sink that
 * cannot be written never delays a token: its lines wait in memory.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isWebdistError, WebdistError } from '../errors.ts';
import { type AuditEntry, type AuditLine, openChain } from './chain.ts';
import type { Sink } from './sink.ts';

/** An open audit log. */
export interface Audit {
  /** Records an event, which is written soon after. */
  record(entry: AuditEntry): void;
  /** Opens renamed files again. */
  reopen(): Promise<void>;
  /** Writes what is waiting, then closes the sinks. Throws `state_invalid` if lines could not be written. */
  close(): Promise<void>;
}

/** What happens to one sink. */
export type SinkEvents = {
  /** Called after each batch. The hash of the last line should also be kept elsewhere. */
  readonly written: (lines: number, head: string) => void;
  /** Called when a batch could not be written; it is retried. */
  readonly failed: (error: unknown) => void;
  /** Called with the number of lines that were dropped for this sink, because too many are waiting. */
  readonly lost: (lines: number) => void;
};

const BATCH_MS = 100;
const RETRY_MS = 1000;
/** A network sink gets at most this many lines at once. */
const MAX_BATCH = 5000;
/** About 50 MB, which lasts for hours with a full disk at normal load, or for a minute at the highest load. */
const MAX_WAITING = 100_000;

/** Starts a chain that is written to all of these sinks. */
export function openAudit(sinks: readonly Sink[], eventsOf: (sink: string) => SinkEvents): Audit {
  const nextLine = openChain();
  const queues = sinks.map((sink) => openQueue(sink, eventsOf(sink.name)));
  let entries: AuditEntry[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const lines = entries.map(nextLine);
    entries = [];
    for (const queue of queues) queue.add(lines);
  };
  return {
    record(entry) {
      entries.push(entry);
      timer ??= setTimeout(flush, BATCH_MS).unref();
    },
    async reopen() {
      await Promise.all(sinks.map((sink) => sink.reopen()));
    },
    async close() {
      flush();
      const problems = await Promise.all(queues.map((queue) => queue.close()));
      await Promise.all(sinks.map((sink) => sink.close()));
      const problem = problems.find((one) => one !== undefined);
      if (problem) throw problem;
    },
  };
}

/** Writes the lines of one sink one batch after another. */
function openQueue(sink: Sink, { written, failed, lost }: SinkEvents) {
  let waiting: AuditLine[] = [];
  let running: Promise<void> | undefined;
  let problem: unknown;
  const closing = new AbortController();
  const run = async () => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_BATCH);
      try {
        await sink.write(batch);
        waiting = waiting.slice(batch.length);
        written(batch.length, batch.at(-1)?.hash ?? '');
      } catch (error) {
        problem = error;
        failed(error);
        if (closing.signal.aborted) return;
        await delay(RETRY_MS, undefined, { ref: false, signal: closing.signal }).catch(() => undefined);
      }
    }
  };
  const start = () => {
    running ??= run().finally(() => {
      running = undefined;
    });
    return running;
  };
  return {
    add(lines: readonly AuditLine[]) {
      const room = MAX_WAITING - waiting.length;
      if (lines.length > room) lost(lines.length - room);
      waiting = [...waiting, ...lines.slice(0, room)];
      if (waiting.length > 0) void start();
    },
    /** Tries to write once more; returns `state_invalid` if lines could not be written. */
    async close(): Promise<WebdistError | undefined> {
      closing.abort();
      await running;
      if (waiting.length > 0) await start();
      return waiting.length === 0 ? undefined : incomplete(sink.name, waiting.length, problem);
    },
  };
}

function incomplete(sink: string, lines: number, cause: unknown): WebdistError {
  const why = isWebdistError(cause) ? cause.detail : `${sink} cannot be written.`;
  return new WebdistError(
    'state_invalid',
    `${why} ${lines} ${lines === 1 ? 'line is' : 'lines are'} missing at its end.`,
    {
      hint: 'The log has a line for each of these tokens (install_token_issued).',
      cause,
    },
  );
}
