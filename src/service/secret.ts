/**
 * The secret that keys the hash of subjects and signs the device cookie: given by the operator, or made once in the data
 * folder. Losing it makes every device new; so it is written before it is used and never replaced.
 */

import { createHmac, hash, randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WebdistError } from '../errors.ts';

/** Reads the secret of a data folder, making it when there is none; processes that start together get the same. */
export async function ledgerSecret(dataDir: string): Promise<string> {
  const path = join(dataDir, 'ledger-secret');
  const existing = await readOrUndefined(path);
  if (existing) return existing;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}`;
  {
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(`${randomBytes(32).toString('base64url')}\n`);
    await file.sync();
  }
  try {
    // A link is made whole or not at all, and never over what another process made first.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readOrUndefined(path)) ?? unusable(path);
}

/** A key for one purpose, derived from the secret, so that no two purposes share one. */
export const derivedKey = (secret: string, purpose: string): Buffer =>
  createHmac('sha256', secret).update(`webdist ${purpose}`).digest();

/**
 * Hashes texts with a key, one way: SHA3-256 over the key and then the text. SHA-3 needs no HMAC around it (its sponge
 * does not let a hash be continued, which is what HMAC guards against), and is one call where HMAC is four times as slow.
 */
export function keyedHash(key: Buffer): (text: string, encoding: 'hex' | 'base64url') => string {
  const first = key.toString('hex');
  return (text, encoding) => hash('sha3-256', first + text, encoding);
}

async function readOrUndefined(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return text.length >= 32 ? text : unusable(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function unusable(path: string): never {
  throw new WebdistError('state_invalid', `${path} does not hold a secret of at least 32 characters.`, {
    hint: 'Restore it from a backup, or delete it: then every device counts as new.',
  });
}
