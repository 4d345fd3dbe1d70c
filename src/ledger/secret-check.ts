/**
 * Ties a ledger to one secret. With another secret, every device has another hash: its installs would not be found, and
 * evidence would be stored a second time under the other hash.
 */

import { isWebdistError, WebdistError } from '../errors.ts';
import type { Ledger, LedgerAddress } from './contract.ts';
import { openLedger } from './ledger.ts';

/** Throws `state_invalid` if the ledger belongs to another secret. Stores nothing. Throws `ledger_unavailable`. */
export async function checkSecret(ledger: Ledger, fingerprint: string): Promise<void> {
  const stored = await ledger.secretFingerprint();
  if (stored !== undefined && stored !== fingerprint)
    throw new WebdistError('state_invalid', 'The ledger was written with another WEBDIST_LEDGER_SECRET.', {
      hint: 'Set the secret of the other replicas or of the backup, or set WEBDIST_LEDGER to an empty ledger.',
    });
}

/**
 * Opens a ledger for the secret with this fingerprint. The first secret is stored in the ledger. Throws `state_invalid`
 * if the ledger belongs to another one, and what `openLedger` throws. If the ledger does not answer now, its first use
 * makes the check, and every use fails with that error until it succeeds. `isNew` is called if the ledger was never used
 * before.
 */
export async function openLedgerOfSecret(
  address: LedgerAddress,
  fingerprint: string,
  isNew: () => void,
): Promise<Ledger> {
  const ledger = await openLedger(address);
  const claim = async () => {
    if ((await ledger.secretFingerprint()) === undefined) {
      await ledger.keepSecretFingerprint(fingerprint);
      isNew();
    }
    // Another replica may have stored its own in between.
    await checkSecret(ledger, fingerprint);
  };
  try {
    await claim();
    return ledger;
  } catch (error) {
    if (isWebdistError(error) && error.code === 'ledger_unavailable') return checkedBeforeUse(ledger, claim);
    await ledger.close();
    throw error;
  }
}

function checkedBeforeUse(ledger: Ledger, check: () => Promise<void>): Ledger {
  let checked: Promise<void> | undefined;
  const after = async <T>(use: () => T | Promise<T>): Promise<T> => {
    checked ??= check().catch((error) => {
      checked = undefined;
      throw error;
    });
    await checked;
    return use();
  };
  return {
    lookUp: (entries) => after(() => ledger.lookUp(entries)),
    addInstalls: (installs) => after(() => ledger.addInstalls(installs)),
    secretFingerprint: () => after(ledger.secretFingerprint),
    keepSecretFingerprint: (own) => after(() => ledger.keepSecretFingerprint(own)),
    export: (subject) => after(() => ledger.export(subject)),
    forget: (subject) => after(() => ledger.forget(subject)),
    stats: () => after(ledger.stats),
    readAll: (take) => after(() => ledger.readAll(take)),
    prune: (beforeSeconds, atMost) => after(() => ledger.prune(beforeSeconds, atMost)),
    ping: () => after(ledger.ping),
    beat: () => after(ledger.beat),
    close: () => ledger.close(),
  };
}
