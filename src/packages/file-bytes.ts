/** Reads files of gigabytes through one buffer. */

import type { FileHandle } from 'node:fs/promises';

const BUFFER_BYTES = 1024 * 1024;

/** Gives the bytes of a file from its beginning; each part is good until the next one is asked for. */
export async function* bytesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
