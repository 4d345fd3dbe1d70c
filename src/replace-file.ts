/**
 * Replaces a small file as a whole. A reader never sees an incomplete file, and after a crash the file is either the
 * old or the new one.
 */

import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder, withFileProblems } from './file-problem.ts';

/** Writes `text` to a path in the data folder, which only this user can read; creates its folder. Throws `state_invalid`. */
export const replaceFile = (path: string, text: string): Promise<void> =>
  withFileProblems(path, 'WEBDIST_DATA_DIR', async () => {
    makeFolder(dirname(path), 0o700);
    const next = `${path}.${randomUUID()}`;
    try {
      await using file = await open(next, 'wx', 0o600);
      await file.writeFile(text);
      await file.sync();
    } catch (error) {
      await rm(next, { force: true });
      throw error;
    }
    await rename(next, path);
  });
