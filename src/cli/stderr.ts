/** Messages on stderr. */

/** Writes text to stderr. A stderr that cannot be written, such as a file on a full disk, is no reason to fail. */
export function writeStderr(text: string): void {
  try {
    process.stderr.write(text);
  } catch {
    // There is no other place to report it.
  }
}
