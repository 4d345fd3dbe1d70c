/**
 * What App Store Connect said last, remembered over restarts, so that a service starts and signs while Apple is down.
 * One small JSON file in the data folder, replaced as a whole, and one beside it while a key is being changed. Holds public
 * halves and ids, no secret.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { type Notice, type Notices, parseNotice } from './rotation/notice.ts';

const registeredKey = z.object({
  keyId: z.string().min(1),
  /** SubjectPublicKeyInfo DER, base64. */
  spki: z.string().min(1),
  seenAt: z.iso.datetime(),
});

const remembered = z.object({ version: z.literal(1), keys: z.record(z.string(), registeredKey) });

/** A key as App Store Connect reported it for an app. */
export type RegisteredKey = Readonly<z.output<typeof registeredKey>>;

/** Where registered keys are remembered, by AppleItemID, and where a change of them is announced. */
export interface Memory extends Notices {
  load(): Promise<Readonly<Record<string, RegisteredKey>>>;
  save(keys: Readonly<Record<string, RegisteredKey>>): Promise<void>;
  close(): Promise<void>;
}

/** The memory that goes with the ledger: shared by all replicas with PostgreSQL, else this machine's own. */
export async function openMemory(config: Pick<Config, 'dataDir' | 'ledger' | 'apps'>, log: Logger): Promise<Memory> {
  const file = openFileMemory(config.dataDir);
  const { url } = config.ledger;
  if (!ledgerBackend(url).isShared) return file;
  const { openPostgresMemory } = await import('./store-postgres.ts');
  return openPostgresMemory(url, { appleItemIds: config.apps.map((app) => app.appleItemId), file, log });
}

/**
 * Memory in `registration.json` and `rotation.json` of a folder. Loading throws `state_invalid` for a file that is not its
 * own.
 */
export function openFileMemory(dataDir: string): Memory {
  const path = join(dataDir, 'registration.json');
  const noticePath = join(dataDir, 'rotation.json');
  const readNotice = () => readJson(noticePath, parseNotice, 'Delete it; then run `webdist keys rotate` again.');
  return {
    async load() {
      const parse = (text: string) => remembered.parse(JSON.parse(text)).keys;
      return (await readJson(path, parse, 'Delete it: it is written anew from what App Store Connect says.')) ?? {};
    },
    save: (keys) => replaceFile(dataDir, path, `${JSON.stringify({ version: 1, keys }, undefined, 2)}\n`),
    readNotice,
    async writeNotice(notice: Notice, insteadOfRun) {
      if ((await readNotice())?.run !== insteadOfRun) return false;
      await replaceFile(dataDir, noticePath, `${JSON.stringify(notice, undefined, 2)}\n`);
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
    throw new WebdistError('state_invalid', `${path} cannot be used.`, { hint, cause });
  }
}

async function replaceFile(folder: string, path: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
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
}
