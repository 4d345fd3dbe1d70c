/** Tests whether the user of this process can create a folder, and files in it. What it creates is removed at once. */

import { accessSync, constants, existsSync, mkdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { WebdistError } from '../errors.ts';
import { fileProblem } from '../file-problem.ts';

/** Long enough to need a block on the disk. */
const PROBE = Buffer.alloc(4096);

/**
 * Returns why a folder cannot be written, or cannot be created if it does not exist yet; undefined if there is no
 * problem. The message is that of the service, and names `path`.
 */
export function folderProblem(folder: string, setting: string, path = folder): WebdistError | undefined {
  try {
    if (existsSync(folder)) write(folder);
    else create(folder);
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

/** Creates the first folder of the path that does not exist, and removes it. */
function create(path: string): void {
  const above = dirname(path);
  if (existsSync(above)) {
    mkdirSync(path);
    rmdirSync(path);
  } else create(above);
}
