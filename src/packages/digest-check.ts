/**
 * Checks the bytes of one file while they are read: each chunk against the manifest (docs/apple-facts.md §5.3), and the
 * whole file against App Store Connect's checksum.
 */

import { createHash, type Hash } from 'node:crypto';
import { WebdistError } from '../errors.ts';
import type { Asset } from './manifest.ts';

export interface DigestCheck {
  /** Takes the next bytes. Throws `package_invalid` at the end of a chunk that does not match. */
  take(bytes: Uint8Array): void;
  /** Ends the file. Throws `package_invalid` if bytes are missing, or if the whole file does not match. */
  end(): void;
}

/** The supported digests, best first. */
const ALGORITHMS = ['sha256', 'sha512', 'sha384', 'sha1', 'md5'];

/** Takes the digests from the manifest and, if there is one, the checksum (hex of MD5 or SHA-256). Throws `package_invalid`. */
export function openDigestCheck({ path, hashes }: Pick<Asset, 'path' | 'hashes'>, checksum?: string): DigestCheck {
  const named = hashes.map((entry) => ({ ...entry, algorithm: entry.algorithm.toLowerCase().replace(/[-_]/g, '') }));
  const algorithm = ALGORITHMS.find((one) => named.some((entry) => entry.algorithm === one));
  const expected = named.find((entry) => entry.algorithm === algorithm);
  if (!algorithm || !expected) throw invalid(path, 'the manifest has no digests of a supported kind');
  const { chunkSize, encryptedChunkDigests: digests } = expected;
  const whole = checksum === undefined ? undefined : createHash(checksum.length === 32 ? 'md5' : 'sha256');
  let chunk: Hash = createHash(algorithm);
  let inChunk = 0;
  let index = 0;
  const endChunk = () => {
    if (chunk.digest('hex') !== digests[index]?.toLowerCase())
      throw invalid(path, `chunk ${index + 1} of ${digests.length} does not match the manifest`);
    chunk = createHash(algorithm);
    inChunk = 0;
    index++;
  };
  return {
    take(bytes) {
      whole?.update(bytes);
      for (let from = 0; from < bytes.length; ) {
        const part = bytes.subarray(from, from + chunkSize - inChunk);
        if (index >= digests.length) throw invalid(path, 'the file is longer than in the manifest');
        chunk.update(part);
        inChunk += part.length;
        from += part.length;
        if (inChunk === chunkSize) endChunk();
      }
    },
    end() {
      if (inChunk > 0) endChunk();
      if (index < digests.length) throw invalid(path, `the file ends after chunk ${index} of ${digests.length}`);
      if (whole && whole.digest('hex') !== checksum)
        throw invalid(path, 'the file does not match App Store Connect’s checksum');
    },
  };
}

const invalid = (path: string, what: string) => new WebdistError('package_invalid', `${path}: ${what}.`);
