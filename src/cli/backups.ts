/** What the commands `backup` and `restore` share. */

import type { Places } from '../backup/stores.ts';
import { auditSettings, ledgerSettings, type processSettings } from '../config/config.ts';
import { type Line, table } from './terminal.ts';

type Read = ReturnType<typeof processSettings>;

/** Where the settings say that the parts of a backup are. Throws `config_invalid`. */
export function placesIn(read: Read): Places {
  const { dataDir, ledger } = ledgerSettings(read);
  return { dataDir, ledger, auditSinks: auditSettings(read).sinks };
}

/** The table of how many items each entry has. */
export const countsTable = (counts: Readonly<Record<string, number>>): Line[] =>
  table(
    ['ENTRY', 'COUNT'],
    Object.entries(counts).map(([name, count]) => [name, String(count)]),
  );
