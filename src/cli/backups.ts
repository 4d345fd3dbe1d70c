/** The places of the parts of a backup, from the settings, for `backup` and `restore`. */

import type { Places } from '../backup/stores.ts';
import { auditSettings, ledgerSettings, type processSettings } from '../config/config.ts';

type Read = ReturnType<typeof processSettings>;

/** Throws `config_invalid`. */
export function placesIn(read: Read): Places {
  const { dataDir, ledger } = ledgerSettings(read);
  return { dataDir, ledger, auditSinks: auditSettings(read).sinks };
}
