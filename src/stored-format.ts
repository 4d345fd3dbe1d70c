/** Stored files have a format number, so that an older webdist does not misread a file that a newer one wrote. */

import { WebdistError } from './errors.ts';

/**
 * Throws `state_invalid`, in one sentence, if `found` is a newer format than `known`, the newest that this version can
 * read. `what` begins the sentence, such as "The ledger /path". A file without a number is not newer.
 */
export function refuseNewer(what: string, found: unknown, known: number): void {
  if (typeof found !== 'number' || found <= known) return;
  throw new WebdistError('state_invalid', `${what} was written by a newer webdist (format ${found}, not ${known}).`, {
    hint: 'Run that version, or restore a backup of this version (docs/upgrade.md).',
  });
}

/**
 * Parses a stored JSON document. Throws `state_invalid` if the number in its `version` is newer, and what JSON.parse
 * throws.
 */
export function parseStored(text: string, what: string, known: number): unknown {
  const document: unknown = JSON.parse(text);
  refuseNewer(what, (document as { version?: unknown } | null)?.version, known);
  return document;
}
