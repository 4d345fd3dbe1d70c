/** Opens the order store that fits the ledger. Replicas that share the ledger also share this store. */

import type { Config } from '../config/config.ts';
import type { LedgerAddress } from '../ledger/contract.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import type { OrderStore } from './store-contract.ts';
import { openFileOrderStore } from './store-file.ts';

/** Throws `config_invalid` or `state_invalid` if the database of a shared ledger cannot be opened. */
export async function openOrderStore({
  dataDir,
  ledger,
}: Pick<Config, 'dataDir'> & { readonly ledger: LedgerAddress }): Promise<OrderStore> {
  const file = openFileOrderStore(dataDir);
  if (!ledgerBackend(ledger.url).isShared) return file;
  const { openPostgresOrderStore } = await import('./store-postgres.ts');
  return openPostgresOrderStore(ledger, file);
}
