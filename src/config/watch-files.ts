/** Notices changes of the files that settings come from. */

import { watchFile } from 'node:fs';

/** A revoked API key stops working within a second. */
const POLL_MS = 200;

/** Calls `changed` after each change of one of the files, until the process ends. */
export function watchFiles(paths: readonly string[], changed: () => void): void {
  // `stat` follows symbolic links, so polling also detects what Kubernetes swaps.
  for (const path of paths) watchFile(path, { interval: POLL_MS, persistent: false }, changed);
}
