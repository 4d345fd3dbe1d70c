/** Selects the migrations that the schema of a database ledger still needs. */

import { refuseNewer } from '../stored-format.ts';

/**
 * Returns the migrations still to be run on a ledger of this schema version, which is the number of migrations already
 * run. Throws `state_invalid` for a newer version; the message calls the ledger `name`.
 */
export function migrationsAfter(version: number, migrations: readonly string[], name: string): readonly string[] {
  refuseNewer(`The ledger ${name}`, version, migrations.length);
  return migrations.slice(version);
}
