/** Reads large files through one buffer. */

import type { FileHandle } from 'node:fs/promises';

const BUFFER_BYTES = 1024 * 1024;

/** Yields the bytes of a file from its start; each part is valid only until the next one. */
export async function* bytesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
