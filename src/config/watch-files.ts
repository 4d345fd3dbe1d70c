/** Notices changes of the files that settings come from. */

import { watchFile } from 'node:fs';

/** A revoked API key stops working within a second. */
const POLL_MS = 200;

/**
 * How long a file must stay the same before it is read. Longer than a poll, so that at least one poll saw no change: a
 * program that rewrites a file in place leaves it empty or incomplete for a moment, and an incomplete list can be valid.
 */
const SETTLE_MS = 400;

/**
 * Calls `changed` after each change of one of the files, until the process ends, and once soon after this call, because a
 * file may have changed since the settings were read.
 */
export function watchFiles(paths: readonly string[], changed: () => void): void {
  if (paths.length === 0) return;
  const settled = setTimeout(changed, SETTLE_MS).unref();
  // `stat` follows symbolic links, so polling also detects what Kubernetes swaps.
  for (const path of paths) watchFile(path, { interval: POLL_MS, persistent: false }, () => settled.refresh());
}
