/**
 * `alternative-distribution-package.zip`: `manifest.json` and `signature` (docs/apple-facts.md §5.3). Small, so it is read whole.
 * Must not know where it came from.
 */

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

/** Takes the zip and its checksum (hex of MD5 or SHA-256) when there is one. Throws `package_invalid`. */
export function readArchive(zip: Uint8Array, checksum: string | undefined): Archive {
  const algorithm = checksum?.length === 32 ? 'md5' : 'sha256';
  if (checksum !== undefined && createHash(algorithm).update(zip).digest('hex') !== checksum)
    throw invalid('it is not what App Store Connect’s checksum says');
  const entries = unzip(zip);
  const [manifestBytes, signature] = [entries.get('manifest.json'), entries.get('signature')];
  if (!manifestBytes || !signature) throw invalid('manifest.json or signature is not in it');
  try {
    const manifest = manifestSchema.parse(JSON.parse(Buffer.from(manifestBytes).toString('utf8')));
    return { manifest, manifestBytes, signature };
  } catch (cause) {
    throw invalid('its manifest.json cannot be read', cause);
  }
}

/** By file name, whatever folder of the zip they are in. */
function unzip(zip: Uint8Array): Map<string, Uint8Array> {
  const wanted = /(^|\/)(manifest\.json|signature)$/;
  try {
    const files = unzipSync(zip, {
      filter: ({ name, originalSize }) =>
        wanted.test(name) && !name.startsWith('__MACOSX') && originalSize <= MAX_ENTRY_BYTES,
    });
    return new Map(Object.entries(files).map(([name, bytes]) => [name.replace(/^.*\//, ''), bytes]));
  } catch (cause) {
    throw invalid('it is not a zip that can be read', cause);
  }
}

const invalid = (what: string, cause?: unknown) =>
  new WebdistError('package_invalid', `The package archive: ${what}.`, { cause });
