/** How a database ledger knows which steps its schema still needs. */

import { WebdistError } from '../errors.ts';

/**
 * The migrations still to be run on a ledger of this schema version; the schema version is the number of migrations
 * run. Throws `state_invalid` for a newer one. `name` is what the message calls the ledger.
 */
export function migrationsAfter(version: number, migrations: readonly string[], name: string): readonly string[] {
  if (version > migrations.length)
    throw new WebdistError('state_invalid', `The ledger ${name} was written by a newer webdist.`, {
      hint: 'Run that version, or name another ledger in WEBDIST_LEDGER.',
    });
  return migrations.slice(version);
}
