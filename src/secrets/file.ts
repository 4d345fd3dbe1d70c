/**
 * `file:///path`: a secret in a file, such as a Docker or Kubernetes secret. Example: `file:///run/secrets/key.pem`.
 * The process needs to be able to read the file; a change of it is noticed, also Kubernetes' swap of `..data`.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../environment.ts';
import { type ErrorCode, WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** A private key in PEM has some 250 bytes; what is far larger is another file. */
const MAX_BYTES = 64 * 1024;

/** `stat` follows symbolic links, so polling the path sees a swapped `..data` where inotify on the file would not. */
const POLL_MS = 2000;

/** Opens `file:///path`. Reading throws `key_absent`, `key_denied`, `key_invalid` (too large) or `key_unreachable`. */
export function openFile(locator: string, _env: Environment): SecretSource {
  const path = pathOf(locator);
  return {
    backend: 'file',
    read: () => readSmallFile(path),
    watch(changed) {
      // Node keeps one watcher for a path; as many apps as there are may share its key.
      watchFile(path, { interval: POLL_MS, persistent: false }, changed).setMaxListeners(0);
      return () => unwatchFile(path, changed);
    },
    async close() {
      // Nothing is held open.
    },
  };
}

function pathOf(locator: string): string {
  try {
    if (!locator.startsWith('file:///')) throw new Error('it does not begin with file:///');
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
    if (cause instanceof WebdistError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    const [kind, text, hint] = reasons[code] ?? ['key_unreachable', `cannot be read (${code}).`, undefined];
    throw new WebdistError(kind, `The file ${path} ${text}`, { cause, ...(hint && { hint }) });
  }
}

const reasons: Readonly<Record<string, readonly [ErrorCode, string, string]>> = {
  ENOENT: ['key_absent', 'is not there.', 'Check the path and that the secret is mounted.'],
  EACCES: ['key_denied', 'may not be read by this process.', 'Give its user read permission.'],
  EPERM: ['key_denied', 'may not be read by this process.', 'Give its user read permission.'],
  EISDIR: ['key_invalid', 'is a directory.', 'Name the file inside it.'],
};
