/** Whether the user of this process can create files in a folder, tried with a file that is removed at once. */

import { accessSync, constants, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { WebdistError } from '../errors.ts';
import { fileProblem } from '../file-problem.ts';

/** Enough to need a block of the disk. */
const PROBE = Buffer.alloc(4096);

/**
 * Returns why a folder cannot be written, or not be created if it does not exist yet; undefined if it can. The words are
 * those of the service. `path` is what the message names.
 */
export function folderProblem(folder: string, setting: string, path = folder): WebdistError | undefined {
  try {
    if (existsSync(folder)) write(folder);
    else accessSync(existingAbove(folder), constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return fileProblem(error, path, setting);
  }
}

/** The same for a file that the service appends to. */
export function appendProblem(file: string, setting: string): WebdistError | undefined {
  if (!existsSync(file)) return folderProblem(dirname(file), setting, file);
  try {
    if (statSync(file).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    accessSync(file, constants.R_OK | constants.W_OK);
    return folderProblem(dirname(file), setting, file);
  } catch (error) {
    return fileProblem(error, file, setting);
  }
}

function write(folder: string): void {
  const probe = join(folder, `.doctor-${process.pid}`);
  try {
    writeFileSync(probe, PROBE, { flag: 'wx', mode: 0o600 });
  } finally {
    rmSync(probe, { force: true });
  }
}

/** The nearest folder above that exists. Throws ENOTDIR if it is not a folder. */
function existingAbove(path: string): string {
  const above = dirname(path);
  if (!existsSync(above)) return existingAbove(above);
  if (!statSync(above).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
  return above;
}
