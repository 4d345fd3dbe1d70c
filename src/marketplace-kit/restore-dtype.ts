/**
 * Decides the `dtype` of the tokens in responses to devices, where the ledger's rule alone does not decide it
 * (docs/apple-facts.md §3.2, §3.3, §9, §11 rows 9 and 10). Pure. The defaults are constants in `ledger/rule.ts`.
 */

import type { Dtype } from '../install-token/claims.ts';
import { UNKNOWN_RESTORE_DTYPE } from '../ledger/rule.ts';

export { RESTORE_EVIDENCE, UPDATE_DTYPE } from '../ledger/rule.ts';

/** What an access token records about its origin. */
type Origin = {
  readonly subject?: unknown;
  /** The install of the link whose `token` was exchanged, until that link's install token expires. */
  readonly install?: { readonly appleItemId: string; readonly dtype: Dtype; readonly untilSeconds: number } | undefined;
};

/**
 * Returns the `dtype` of a restore's token, or undefined if the ledger decides. Until the link's install token expires,
 * it is the link's `dtype`. After that, the ledger decides for a known subject. A request without a subject can be a
 * first install or a device restore, and nothing in it distinguishes them. It gets the value that cannot cost an
 * advertiser money.
 */
export function restoreDtype({ subject, install }: Origin, appleItemId: string, nowSeconds: number): Dtype | undefined {
  if (install?.appleItemId === appleItemId && nowSeconds < install.untilSeconds) return install.dtype;
  return subject === undefined ? UNKNOWN_RESTORE_DTYPE : undefined;
}
