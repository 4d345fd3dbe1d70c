/** Reads `alternative-distribution-package.zip`: `manifest.json` and `signature` (docs/apple-facts.md §5.3). */

import { createHash } from 'node:crypto';
import { unzipSync } from 'fflate';
import { WebdistError } from '../errors.ts';
import { type Manifest, manifestSchema } from './manifest.ts';

export type Archive = {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signature: Uint8Array;
};

const MAX_ENTRY_BYTES = 32 * 1024 * 1024;

/** Takes the zip and its checksum, if there is one (hex of MD5 or SHA-256). Throws `package_invalid`. */
export function readArchive(zip: Uint8Array, checksum: string | undefined): Archive {
  const algorithm = checksum?.length === 32 ? 'md5' : 'sha256';
  if (checksum !== undefined && createHash(algorithm).update(zip).digest('hex') !== checksum)
    throw invalid('it does not match App Store Connect’s checksum');
  const entries = unzip(zip);
  const [manifestBytes, signature] = [entries.get('manifest.json'), entries.get('signature')];
  if (!manifestBytes || !signature) throw invalid('it does not contain manifest.json and signature');
  try {
    const manifest = manifestSchema.parse(JSON.parse(Buffer.from(manifestBytes).toString('utf8')));
    return { manifest, manifestBytes, signature };
  } catch (cause) {
    throw invalid('its manifest.json cannot be read', cause);
  }
}

/** Returns the files by name, regardless of their folder in the zip. */
function unzip(zip: Uint8Array): Map<string, Uint8Array> {
  const wanted = /(^|\/)(manifest\.json|signature)$/;
  try {
    const files = unzipSync(zip, {
      filter: ({ name, originalSize }) =>
        wanted.test(name) && !name.startsWith('__MACOSX') && originalSize <= MAX_ENTRY_BYTES,
    });
    return new Map(Object.entries(files).map(([name, bytes]) => [name.replace(/^.*\//, ''), bytes]));
  } catch (cause) {
    throw invalid('it is not a readable zip', cause);
  }
}

const invalid = (what: string, cause?: unknown) =>
  new WebdistError('package_invalid', `The package archive: ${what}.`, { cause });
