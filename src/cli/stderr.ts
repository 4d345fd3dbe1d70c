/** Messages on stderr. */

/**
 * Writes text to stderr. A command must not fail because stderr cannot be written, for example a file on a full disk.
 */
export function writeStderr(text: string): void {
  try {
    process.stderr.write(text);
  } catch {
    // There is nowhere else to report this.
  }
}
