/**
 * The registration store of one machine: `registration.json`, `ever-registered.json` and `checks.json` in the data
 * folder, and `rotation.json` once there was a rotation. All are small, and always replaced as a whole, so that a reader
 * never sees an incomplete file.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isWebdistError, WebdistError } from '../errors.ts';
import { openLockIn } from '../file-lock.ts';
import { fileProblem } from '../file-problem.ts';
import { replaceFile } from '../replace-file.ts';
import { parseStored } from '../stored-format.ts';
import { noticeText, parseNotice } from './rotation/notice.ts';
import type { RegisteredKey } from './state.ts';
import type { RegistrationStore } from './store-contract.ts';
import { openFileTurns } from './turns-file.ts';

const registeredKey: z.ZodType<RegisteredKey> = z.object({
  keyId: z.string().min(1),
  spki: z.string().min(1),
  seenAt: z.iso.datetime(),
});

/** The format of the files with a `version`. */
const FORMAT = 1;

const everDocument = z.object({ version: z.literal(FORMAT), names: z.array(z.string()) });

/** Registered keys by AppleItemID. */
export const registeredKeys = z.record(z.string(), registeredKey);

const document = z.object({ version: z.literal(FORMAT), keys: registeredKeys });

/** Opens the store in a data folder, which is created on the first write. Reading throws `state_invalid` for a damaged file. `now`: milliseconds since 1970. */
export function openFileRegistrationStore(dataDir: string, now: () => number = Date.now): RegistrationStore {
  const path = join(dataDir, 'registration.json');
  const everPath = join(dataDir, 'ever-registered.json');
  const noticePath = join(dataDir, 'rotation.json');
  const readNotice = () => readJson(noticePath, parseNotice, 'Delete it, then run `webdist keys rotate` again.');
  const readEver = async () => {
    const parse = (text: string) => everDocument.parse(parseStored(text, everPath, FORMAT)).names;
    const hint =
      'Delete it; webdist may then register a key or domain again, once, that was removed at App Store Connect.';
    return new Set(await readJson(everPath, parse, hint));
  };
  const checksPath = join(dataDir, 'checks.json');
  const turns = openFileTurns(
    {
      read: () => readJson(checksPath, String, 'Delete it; it is written again at the next check.'),
      write: (text) => replaceFile(checksPath, text),
      openLock: () => openLockIn(dataDir, 'checks.lock'),
    },
    now,
  );
  return {
    async load() {
      const parse = (text: string) => document.parse(parseStored(text, path, FORMAT)).keys;
      return (await readJson(path, parse, 'Delete it; webdist writes it again after the next check.')) ?? {};
    },
    save: (keys) => replaceFile(path, `${JSON.stringify({ version: FORMAT, keys }, undefined, 2)}\n`),
    everRegistered: readEver,
    async addEverRegistered(names) {
      const known = await readEver();
      if (names.every((name) => known.has(name))) return;
      const all = [...new Set([...known, ...names])].sort();
      await replaceFile(everPath, `${JSON.stringify({ version: FORMAT, names: all }, undefined, 2)}\n`);
    },
    ...turns,
    readNotice,
    async writeNotice(notice, replacedRun) {
      if ((await readNotice())?.run !== replacedRun) return false;
      await replaceFile(noticePath, `${noticeText(notice)}\n`);
      return true;
    },
    async close() {
      // Nothing is kept open.
    },
  };
}

async function readJson<T>(path: string, parse: (text: string) => T, hint: string): Promise<T | undefined> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (isWebdistError(cause)) throw cause;
    // Only a file that was read can be damaged.
    throw (
      fileProblem(cause, path, 'WEBDIST_DATA_DIR') ??
      new WebdistError('state_invalid', `${path} cannot be used.`, { hint, cause })
    );
  }
}
