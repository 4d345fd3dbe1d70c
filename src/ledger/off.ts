/** `off`: remembers nothing. Every device looks new, unless an authenticated caller says otherwise. */

import type { Ledger } from './contract.ts';
import { UNKNOWN_SUBJECT_DTYPE } from './rule.ts';

const nothing = async () => {
  // Nothing is remembered, so there is nothing to do.
};

/** Opens the ledger that is none. */
export function openOff(): Ledger {
  return {
    record: async (entries) => entries.map((entry) => entry.dtype ?? UNKNOWN_SUBJECT_DTYPE),
    confirm: nothing,
    export: async () => ({ installs: [], tokens: [] }),
    forget: async () => 0,
    stats: async () => ({ installs: 0, tokens: 0 }),
    prune: nothing,
    ping: nothing,
    close: nothing,
  };
}
