/**
 * Files, such as a Docker or Kubernetes secret: `file:///path`. Example: `file:///run/secrets/key.pem`.
 * Permission: the process may read the file. A change is detected, also when Kubernetes swaps `..data`.
 * See docs/keys/file.md.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../environment.ts';
import { type ErrorCode, isWebdistError, WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** A private key in PEM has about 250 bytes; a far larger file is another file. */
const MAX_BYTES = 64 * 1024;

/** `stat` follows symbolic links, so polling the path detects a swapped `..data`; inotify on the file would not. */
const POLL_MS = 2000;

/**
 * Opens `file:///path`. Throws `config_invalid`; reading throws `key_absent`, `key_denied`, `key_invalid` (too large) or
 * `key_unreachable`.
 */
export function openFile(locator: string, _env: Environment): SecretSource {
  const path = parse(locator);
  return {
    backend: 'file',
    read: () => readSmallFile(path),
    watch(changed) {
      // Node keeps one watcher per path, and any number of apps may share its key.
      watchFile(path, { interval: POLL_MS, persistent: false }, changed).setMaxListeners(0);
      return () => unwatchFile(path, changed);
    },
    async close() {
      // Nothing is open.
    },
  };
}

function parse(locator: string): string {
  try {
    if (!locator.startsWith('file:///')) throw new Error('It does not begin with file:///.');
    return fileURLToPath(locator);
  } catch (cause) {
    throw new WebdistError('config_invalid', 'A file locator is file:///absolute/path.', { cause });
  }
}

async function readSmallFile(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const buffer = Buffer.alloc(MAX_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > MAX_BYTES) throw new WebdistError('key_invalid', `The file ${path} is too large to be a key.`);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (cause) {
    if (isWebdistError(cause)) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    const [kind, why, hint] = reasons[code] ?? ['key_unreachable', `cannot be read (${code}).`, undefined];
    throw new WebdistError(kind, `The file ${path} ${why}`, { cause, ...(hint && { hint }) });
  }
}

const unreadable = ['key_denied', 'cannot be read by this process.', 'Give its user read permission.'] as const;
const reasons: Readonly<Record<string, readonly [ErrorCode, string, string]>> = {
  ENOENT: ['key_absent', 'does not exist.', 'Check the path, and that the secret is mounted.'],
  EACCES: unreadable,
  EPERM: unreadable,
  EISDIR: ['key_invalid', 'is a directory.', 'Name the file in it.'],
};
