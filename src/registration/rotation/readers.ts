/**
 * Ensures that every running server has read the announcement of a rotation. A server that is cut off from the store would
 * sign with the removed key until its next check of App Store Connect.
 */

import { hostname } from 'node:os';
import { WebdistError } from '../../errors.ts';
import type { Clock } from '../clock.ts';

/** A server reports within 2 seconds what it has read. */
const WAIT_MS = 8000;
const POLL_MS = 200;

/** What a server reports; `silentSeconds` ago. */
type Report = { readonly id: string; readonly rotationRun: string | null; readonly silentSeconds: number };

type Deps = {
  /** The reports of all servers that have not shut down properly. */
  readonly replicas: () => Promise<readonly Report[]>;
  readonly clock: Pick<Clock, 'elapsed' | 'sleep'>;
};

/** Resolves when all of them have read the notice of this run. Throws `state_invalid` if that takes too long. */
export async function readByEveryReplica(run: string, { replicas, clock }: Deps): Promise<void> {
  const end = clock.elapsed() + WAIT_MS;
  for (;;) {
    const waiting = (await replicas()).filter((one) => one.rotationRun !== run && !isGone(one.id));
    if (waiting.length === 0) return;
    if (clock.elapsed() > end) throw unread(waiting);
    await clock.sleep(POLL_MS);
  }
}

/** True if a report is of a process of this machine that was killed. The id is HOST-PID-RANDOM (src/service/replica.ts). */
function isGone(id: string): boolean {
  const [, host, pid] = /^(.*)-(\d+)-[^-]*$/.exec(id) ?? [];
  if (host !== hostname()) return false;
  try {
    return !process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function unread(waiting: readonly Report[]): WebdistError {
  const names = waiting.map(({ id, silentSeconds }) => `${id} (last report ${Math.round(silentSeconds)} s ago)`);
  const detail = `Nothing was changed, because the announcement was not read by every server: ${names.join(', ')}.`;
  return new WebdistError('state_invalid', detail, {
    hint: 'A server that is still running would sign with the removed key, so check its connection to the data folder or PostgreSQL. If it was killed, run the command again with --ignore-silent, or in 15 minutes.',
  });
}
