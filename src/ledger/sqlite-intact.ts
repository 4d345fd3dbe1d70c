/**
 * Notices that the file of a SQLite ledger was removed, replaced, emptied or damaged while it is open. SQLite itself
 * continues with the open file, so that everything it stores would be lost without an error.
 */

import { type Stats, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isWebdistError, WebdistError } from '../errors.ts';
import { fileProblem } from '../file-problem.ts';

/** What the folder contains for an open ledger: the database, its write-ahead log, and the log's index. */
const SUFFIXES = ['', '-wal', '-shm'];

/** SQLITE_CORRUPT and SQLITE_NOTADB (https://www.sqlite.org/rescode.html). */
const DAMAGE = new Set([11, 26]);

/** Subjects are smaller than this. */
const SUBJECTS = 2 ** 45;

export interface IntactFile {
  /** Throws `ledger_unavailable` unless the path still leads to the files that were opened, and no damage was found. */
  check(): void;
  /**
   * Reads one random place of the database, through a separate connection that has nothing cached. Throws what
   * SQLite throws.
   */
  probe(): void;
  /** Returns the error to report for an error of SQLite. Damage is remembered until the ledger is opened again. */
  explained(error: unknown): WebdistError;
}

const RESTORE =
  'Stop webdist, restore the ledger, and start webdist again (docs/reliability.md, "Restoring a backup").';

const unavailable = (detail: string, hint: string | undefined, cause?: unknown) =>
  new WebdistError('ledger_unavailable', detail, { retryAfterSeconds: 1, cause, ...(hint && { hint }) });

/** For a ledger in memory, which has no file. */
export const inMemory: IntactFile = {
  check: () => undefined,
  probe: () => undefined,
  explained: (cause) =>
    isWebdistError(cause) ? cause : unavailable('The SQLite ledger cannot answer.', undefined, cause),
};

/** To be called when the database is open and has been written to. Throws the system's error if a file is missing. */
export function intactFile(path: string): IntactFile {
  const files = SUFFIXES.map((suffix) => ({ path: `${path}${suffix}`, opened: statSync(`${path}${suffix}`) }));
  let isDamaged = false;
  return {
    check() {
      for (const { path: file, opened } of files) {
        const problem = changeOf(opened, statSync(file, { throwIfNoEntry: false }));
        if (problem)
          throw unavailable(
            `${file} ${problem} while webdist uses it.`,
            `Put it back. If that is not possible: ${RESTORE}`,
          );
      }
      if (isDamaged) throw unavailable(`${path} is damaged.`, RESTORE);
    },
    probe() {
      const own = new DatabaseSync(path, { readOnly: true });
      try {
        own.prepare('SELECT 1 FROM install WHERE subject >= ? LIMIT 1').get(Math.floor(Math.random() * SUBJECTS));
      } finally {
        own.close();
      }
    },
    explained(cause) {
      if (isWebdistError(cause)) return cause;
      isDamaged ||= DAMAGE.has(Number((cause as { errcode?: number }).errcode) & 0xff);
      if (isDamaged) return unavailable(`${path} is damaged.`, RESTORE, cause);
      const known = fileProblem(cause, path, 'WEBDIST_LEDGER');
      return unavailable(known?.detail ?? 'The SQLite ledger cannot answer.', known?.hint, cause);
    },
  };
}

function changeOf(opened: Stats, found: Stats | undefined): string | undefined {
  if (!found) return 'was removed';
  if (found.ino !== opened.ino || found.dev !== opened.dev) return 'was replaced by another file';
  return found.size === 0 ? 'was emptied' : undefined;
}
