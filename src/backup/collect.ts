/**
 * Collects everything that cannot be created again, in the order of the entries. The installs are the largest entry, and
 * the last one.
 */

import { type FileHandle, open, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { WebdistError } from '../errors.ts';
import { withFileProblems } from '../file-problem.ts';
import { checkSecret } from '../ledger/secret-check.ts';
import { secretFingerprint } from '../service/secret.ts';
import type { Stores } from './stores.ts';
import type { Put } from './write.ts';

const AUDIT_PART_BYTES = 64 * 1024;

/**
 * Writes everything to a backup, while services use it. The installs are a snapshot of one moment. With `withKeys`, also
 * the files of the data folder that contain private keys. Throws `state_invalid` or `ledger_unavailable`.
 */
export async function collect(stores: Stores, withKeys: boolean, put: Put): Promise<void> {
  const { dataDir, secret, ledger, registration, orders, auditFile } = stores;
  if (secret === undefined)
    throw new WebdistError('state_invalid', `There is nothing to back up: ${dataDir} has no ledger secret.`, {
      hint: 'Run this command with the settings of the service.',
    });
  await checkSecret(ledger, secretFingerprint(secret));
  await put('ledger-secret', secret);
  await put('registration', await registration.load());
  await put('ever-registered', [...(await registration.everRegistered())]);
  const notice = await registration.readNotice();
  if (notice) await put('rotation', notice);
  await put('orders', await orders.read());
  if (auditFile !== undefined) await collectAudit(auditFile, put);
  if (withKeys)
    for (const file of await keyFilesIn(dataDir))
      await withFileProblems(join(dataDir, file), 'WEBDIST_DATA_DIR', async () =>
        put('key-files', { file, text: await readFile(join(dataDir, file), 'utf8') }),
      );
  await ledger.readAll((installs) => put('installs', [...installs]));
}

/** The files of a data folder that contain private keys: distribution keys, and the account of the sandbox. */
export async function keyFilesIn(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir).catch(() => []);
  return names.filter((name) => /\.(pem|p8)$|^sandbox\.json$/.test(name)).sort();
}

/**
 * The complete lines of an audit file and of its predecessor. The newer one is opened first, so that neither is missed if
 * a service renames it in between.
 */
async function collectAudit(path: string, put: Put): Promise<void> {
  const newer = await openIfThere(path);
  const older = await openIfThere(`${path}.1`);
  try {
    const isSame = (await older?.stat())?.ino === (await newer?.stat())?.ino;
    if (older && !isSame) await collectLines(older, `${basename(path)}.1`, put);
    if (newer) await collectLines(newer, basename(path), put);
  } finally {
    await older?.close();
    await newer?.close();
  }
}

const openIfThere = (path: string): Promise<FileHandle | undefined> =>
  withFileProblems(path, 'WEBDIST_AUDIT', () =>
    open(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }),
  );

/** Up to the last line break, because a service may be writing the line after it. */
async function collectLines(file: FileHandle, name: string, put: Put): Promise<void> {
  const part = Buffer.alloc(AUDIT_PART_BYTES);
  let rest = Buffer.alloc(0);
  for (;;) {
    const { bytesRead } = await file.read(part);
    if (bytesRead === 0) return;
    const read = Buffer.concat([rest, part.subarray(0, bytesRead)]);
    const end = read.lastIndexOf('\n') + 1;
    if (end > 0) await put('audit', { file: name, text: read.toString('utf8', 0, end) });
    rest = read.subarray(end);
  }
}
