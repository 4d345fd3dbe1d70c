/** Selects the migrations that the schema of a database ledger still needs. */

import { WebdistError } from '../errors.ts';

/**
 * Returns the migrations still to be run on a ledger of this schema version, which is the number of migrations already
 * run. Throws `state_invalid` for a newer version; the message calls the ledger `name`.
 */
export function migrationsAfter(version: number, migrations: readonly string[], name: string): readonly string[] {
  if (version > migrations.length)
    throw new WebdistError('state_invalid', `The ledger ${name} was written by a newer webdist.`, {
      hint: 'Run that version, or name another ledger in WEBDIST_LEDGER.',
    });
  return migrations.slice(version);
}
