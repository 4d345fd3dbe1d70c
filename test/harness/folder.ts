/** Temporary folders. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A new folder that is removed with the test; `t.testdir()` would return the same one each time. */
export function temporaryFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'webdist-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
