/**
 * Files, such as a Docker or Kubernetes secret: `file:///path`. Example: `file:///run/secrets/key.pem`. Permission: the
 * process may read the file. Changes are detected, including when Kubernetes swaps `..data`. See docs/keys/file.md.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readSmallFile } from '../cloud/files.ts';
import { decodeSecret } from '../cloud/text.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** `stat` follows symbolic links, so polling the path detects a swapped `..data`; inotify on the file would not. */
const POLL_MS = 2000;

/**
 * Opens `file:///path`. Throws `config_invalid`. Reading throws `key_absent`, `key_denied`, `key_invalid` (too large)
 * or `key_unreachable`.
 */
export function openFile(locator: string, _env: Environment): SecretSource {
  const path = parse(locator);
  return {
    backend: 'file',
    read: async () => decodeSecret(await readSmallFile(path)),
    watch(changed) {
      // Node keeps one watcher per path, and any number of apps may share the key at that path.
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
    if (!/^file:\/\/\/[^?#]+$/.test(locator)) throw new Error('It does not consist of file:/// and a path.');
    const path = fileURLToPath(locator);
    if (path.includes('\0')) throw new Error('A path cannot contain a zero byte.');
    return path;
  } catch (cause) {
    throw new WebdistError(
      'config_invalid',
      'A file locator is file:///absolute/path; percent-encode %, ? and # in the path.',
      { cause },
    );
  }
}
