/**
 * `off`: stores nothing. The ledger of `WEBDIST_LEDGER=off`. Every device counts as new, unless an authenticated caller
 * sends its `dtype`.
 */

import type { Ledger } from './contract.ts';

const nothing = async () => {
  // Nothing is stored, so there is nothing to do.
};

/** Opens the ledger that stores nothing. */
export function openOff(): Ledger {
  return {
    lookUp: async (entries) => entries.map(() => undefined),
    addInstalls: nothing,
    secretFingerprint: async () => undefined,
    keepSecretFingerprint: nothing,
    export: async () => [],
    forget: async () => 0,
    readAll: nothing,
    stats: async () => ({ installs: 0 }),
    prune: async () => 0,
    ping: nothing,
    beat: async () => 0,
    close: nothing,
  };
}
