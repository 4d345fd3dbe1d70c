/** Opens all stores that a backup contains, at the places in the settings. */

import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Ledger, LedgerAddress } from '../ledger/contract.ts';
import { openLedger } from '../ledger/ledger.ts';
import { openOrderStore } from '../orders/store.ts';
import type { OrderStore } from '../orders/store-contract.ts';
import { openRegistrationStore } from '../registration/store.ts';
import type { RegistrationStore } from '../registration/store-contract.ts';
import { existingLedgerSecret } from '../service/secret.ts';

/** The settings with these places. Contains secrets. */
export type Places = {
  readonly dataDir: string;
  readonly ledger: LedgerAddress & { readonly secret: string | undefined };
  /** URLs of audit sinks. */
  readonly auditSinks: readonly string[];
};

export interface Stores extends AsyncDisposable {
  readonly dataDir: string;
  /** The secret in force; undefined if there is none yet. */
  readonly secret: string | undefined;
  readonly ledger: Ledger;
  readonly registration: RegistrationStore;
  readonly orders: OrderStore;
  /** The first audit file. Every sink gets every line, so one file is enough. */
  readonly auditFile: string | undefined;
}

/** Throws as the stores do when they are opened. */
export async function openStores({ dataDir, ledger: address, auditSinks }: Places, log: Logger): Promise<Stores> {
  await using opening = new AsyncDisposableStack();
  const secret = address.secret ?? (await existingLedgerSecret(dataDir));
  const ledger = await openLedger(address);
  opening.defer(() => ledger.close());
  // Without apps, saving registered keys deletes none.
  const registration = await openRegistrationStore({ dataDir, ledger: address, apps: [] }, log);
  opening.defer(() => registration.close());
  const orders = await openOrderStore({ dataDir, ledger: address });
  opening.defer(() => orders.close());
  const opened = opening.move();
  const audit = auditSinks.find((url) => url.startsWith('file:'));
  return {
    dataDir,
    secret,
    ledger,
    registration,
    orders,
    auditFile: audit === undefined ? undefined : fileURLToPath(audit),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
