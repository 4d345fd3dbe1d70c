/** Opens the registration store that fits the ledger. Replicas that share the ledger also share this store. */

import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { LedgerAddress } from '../ledger/contract.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import type { RegistrationStore } from './store-contract.ts';
import { openFileRegistrationStore } from './store-file.ts';

/** Throws `config_invalid` or `state_invalid` if the database of a shared ledger cannot be opened. */
export async function openRegistrationStore(
  { dataDir, ledger, apps }: Pick<Config, 'dataDir' | 'apps'> & { readonly ledger: LedgerAddress },
  log: Logger,
  now: () => number = Date.now,
): Promise<RegistrationStore> {
  const file = openFileRegistrationStore(dataDir, now);
  if (!ledgerBackend(ledger.url).isShared) return file;
  const { openPostgresRegistrationStore } = await import('./store-postgres.ts');
  return openPostgresRegistrationStore(ledger, {
    appleItemIds: apps.map((app) => app.appleItemId),
    file,
    log,
    now,
  });
}
