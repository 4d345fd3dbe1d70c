/** Reads the small files of keys and credentials. */

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isWebdistError, WebdistError } from '../errors.ts';
import { vendorError } from './vendor-error.ts';

/** A private key in PEM has about 250 bytes; a far larger file cannot be a key. */
const MAX_KEY_BYTES = 64 * 1024;

/** For certificates: a bundle of all public authorities has about 200 KiB. */
export const MAX_CERTIFICATES_BYTES = 1024 * 1024;

/**
 * Reads a regular file. Anything but a regular file is refused, because opening a FIFO for reading blocks a thread
 * until another process writes to it. Throws `key_absent`, `key_denied`, `key_invalid` (not a regular file, too large)
 * or `key_unreachable`.
 */
export async function readSmallFile(path: string, maxBytes = MAX_KEY_BYTES): Promise<Buffer> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile())
      throw invalid(path, `is ${stats.isDirectory() ? 'a directory' : 'a pipe or a device'}.`, 'Use a regular file.');
    const buffer = Buffer.alloc(maxBytes + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > maxBytes) throw invalid(path, 'is too large to be a key.');
    return Buffer.from(buffer.subarray(0, bytesRead));
  } catch (cause) {
    if (isWebdistError(cause)) throw cause;
    throw reasons[(cause as NodeJS.ErrnoException).code ?? '']?.(path, cause) ?? unknown(path, cause);
  }
}

/**
 * Reads a file that a backend needs, such as a PIN. `purpose` completes "the file … with". A file that cannot be read
 * does not mean that the key is gone. Throws `key_unreachable`.
 */
export async function readCredential(path: string, purpose: string): Promise<string> {
  try {
    return (await readSmallFile(path)).toString('utf8').trim();
  } catch (cause) {
    const why = isWebdistError(cause) ? cause.detail.replace(`The file ${path} `, '') : 'cannot be read.';
    throw new WebdistError('key_unreachable', `The file ${path} with ${purpose} ${why}`, { cause });
  }
}

const invalid = (path: string, why: string, hint?: string) =>
  new WebdistError('key_invalid', `The file ${path} ${why}`, hint === undefined ? {} : { hint });

const unknown = (path: string, cause: unknown) =>
  new WebdistError('key_unreachable', `The file ${path} cannot be read (${vendorError(cause).message}).`, {
    cause: vendorError(cause),
  });

const denied = (path: string, cause: unknown) =>
  new WebdistError('key_denied', `The file ${path} cannot be read by this process.`, {
    hint: 'Give its user read permission.',
    cause: vendorError(cause),
  });

const reasons: Readonly<Record<string, (path: string, cause: unknown) => WebdistError>> = {
  ENOENT: (path, cause) =>
    new WebdistError('key_absent', `The file ${path} does not exist.`, {
      hint: 'Check the path, and that the secret is mounted.',
      cause: vendorError(cause),
    }),
  EACCES: denied,
  EPERM: denied,
  // A socket, or a FIFO on some systems.
  ENXIO: (path) => invalid(path, 'is a pipe or a device.', 'Use a regular file.'),
};
