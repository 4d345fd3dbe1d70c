/**
 * The ledger's secret: it keys the hash of subjects, signs the device cookie and encrypts nonces. Given by the operator,
 * or generated once into the data folder. Without it every device is new, so it is stored before it is used and never
 * replaced.
 */

import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WebdistError } from '../errors.ts';

const pathIn = (dataDir: string) => join(dataDir, 'ledger-secret');

/** The secret of a data folder, generated when there is none; processes that start together get the same one. */
export async function ledgerSecret(dataDir: string): Promise<string> {
  const existing = await existingLedgerSecret(dataDir);
  if (existing) return existing;
  const path = pathIn(dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}`;
  {
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(`${randomBytes(32).toString('base64url')}\n`);
    await file.sync();
  }
  try {
    // A link is created completely or not at all, and never over what another process created first.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await existingLedgerSecret(dataDir)) ?? unusable(path);
}

/** The secret of a data folder, or undefined when none was generated yet. Throws `state_invalid`. */
export async function existingLedgerSecret(dataDir: string): Promise<string | undefined> {
  const path = pathIn(dataDir);
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return text.length >= 32 ? text : unusable(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A key of 32 bytes for one purpose, derived from the secret (HMAC-SHA256), so that no two purposes share one. */
export const derivedKey = (secret: string, purpose: 'subject' | 'nonce' | 'rate limit' | 'device oauth'): Buffer =>
  createHmac('sha256', secret).update(`webdist ${purpose}`).digest();

function unusable(path: string): never {
  throw new WebdistError('state_invalid', `${path} does not hold a secret of at least 32 characters.`, {
    hint: 'Restore it from a backup, or delete it: then every device counts as new.',
  });
}
