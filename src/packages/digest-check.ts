/**
 * Checks the bytes of one file as they pass: every chunk against the manifest (docs/apple-facts.md §5.3), the whole
 * against App Store Connect's checksum.
 */

import { createHash, type Hash } from 'node:crypto';
import { WebdistError } from '../errors.ts';
import type { Asset } from './manifest.ts';

export interface DigestCheck {
  /** The next bytes. Throws `package_invalid` at the end of a chunk that is not what it should be. */
  take(bytes: Uint8Array): void;
  /** There are no more. Throws `package_invalid` when there should be, or the whole is not what it should be. */
  end(): void;
}

/** Digests Apple is known to use, best first. */
const ALGORITHMS = ['sha256', 'sha512', 'sha384', 'sha1', 'md5'];

/** Takes what the manifest says of a file, and its checksum (hex of MD5 or SHA-256) when there is one. Throws `package_invalid`. */
export function openDigestCheck({ path, hashes }: Pick<Asset, 'path' | 'hashes'>, checksum?: string): DigestCheck {
  const named = hashes.map((entry) => ({ ...entry, algorithm: entry.algorithm.toLowerCase().replace(/[-_]/g, '') }));
  const algorithm = ALGORITHMS.find((one) => named.some((entry) => entry.algorithm === one));
  const expected = named.find((entry) => entry.algorithm === algorithm);
  if (!algorithm || !expected) throw invalid(path, 'the manifest has no digests of it that are known here');
  const { chunkSize, encryptedChunkDigests: digests } = expected;
  const whole = checksum === undefined ? undefined : createHash(checksum.length === 32 ? 'md5' : 'sha256');
  let chunk: Hash = createHash(algorithm);
  let inChunk = 0;
  let index = 0;
  const endChunk = () => {
    if (chunk.digest('hex') !== digests[index]?.toLowerCase())
      throw invalid(path, `chunk ${index + 1} of ${digests.length} is not what the manifest says`);
    chunk = createHash(algorithm);
    inChunk = 0;
    index++;
  };
  return {
    take(bytes) {
      whole?.update(bytes);
      for (let from = 0; from < bytes.length; ) {
        const part = bytes.subarray(from, from + chunkSize - inChunk);
        if (index >= digests.length) throw invalid(path, 'it is longer than the manifest says');
        chunk.update(part);
        inChunk += part.length;
        from += part.length;
        if (inChunk === chunkSize) endChunk();
      }
    },
    end() {
      if (inChunk > 0) endChunk();
      if (index < digests.length) throw invalid(path, `it ends after chunk ${index} of ${digests.length}`);
      if (whole && whole.digest('hex') !== checksum)
        throw invalid(path, 'it is not what App Store Connect’s checksum says');
    },
  };
}

const invalid = (path: string, what: string) => new WebdistError('package_invalid', `${path}: ${what}.`);
