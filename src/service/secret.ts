/**
 * The ledger's secret: it keys the hash of subjects, signs the device cookie and encrypts nonces. The operator sets it,
 * or webdist generates it once into the data folder. If it is lost, every device counts as new. So it is stored before
 * it is used, and never replaced.
 */

import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WebdistError } from '../errors.ts';
import { fileProblem, makeFolder, withFileProblems } from '../file-problem.ts';

const pathIn = (dataDir: string) => join(dataDir, 'ledger-secret');

/**
 * Returns the secret of a data folder, and generates it if there is none. Processes that start together get the same
 * secret.
 */
export const ledgerSecret = (dataDir: string): Promise<string> =>
  keepLedgerSecret(dataDir, randomBytes(32).toString('base64url'));

/** Stores this secret in a data folder that has none, and returns the one that the folder then has. */
export const keepLedgerSecret = (dataDir: string, secret: string): Promise<string> =>
  withFileProblems(pathIn(dataDir), 'WEBDIST_DATA_DIR', () => readOrCreate(dataDir, secret));

async function readOrCreate(dataDir: string, secret: string): Promise<string> {
  const existing = await existingLedgerSecret(dataDir);
  if (existing) return existing;
  const path = pathIn(dataDir);
  makeFolder(dataDir, 0o700);
  const draft = `${path}.${randomUUID()}`;
  {
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(`${secret}\n`);
    await file.sync();
  }
  try {
    // Creating a link is atomic, and never replaces a file that another process created first.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await existingLedgerSecret(dataDir)) ?? unusable(path);
}

/** Returns the secret of a data folder, or undefined if none was generated yet. Throws `state_invalid`. */
export async function existingLedgerSecret(dataDir: string): Promise<string | undefined> {
  const path = pathIn(dataDir);
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return text.length >= 32 ? text : unusable(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileProblem(error, path, 'WEBDIST_DATA_DIR') ?? error;
  }
}

type Purpose = 'subject' | 'nonce' | 'rate limit' | 'device oauth' | 'fingerprint' | 'doctor';

/** Derives from the secret a key of 32 bytes for one purpose (HMAC-SHA256), so that no two purposes share a key. */
export const derivedKey = (secret: string, purpose: Purpose): Buffer =>
  createHmac('sha256', secret).update(`webdist ${purpose}`).digest();

/** Identifies the secret in its ledger, in hex. It reveals nothing about the secret or its other keys. */
export const secretFingerprint = (secret: string): string => derivedKey(secret, 'fingerprint').toString('hex');

function unusable(path: string): never {
  throw new WebdistError('state_invalid', `${path} does not hold a secret of at least 32 characters.`, {
    hint: 'Restore it from a backup. If there is none, delete it and set WEBDIST_LEDGER to an empty ledger; every device then counts as new.',
  });
}
