/**
 * The `dtype` of the tokens in answers to devices, where it is not the ledger's rule alone that decides (apple-facts
 * §3.2, §3.3, §9, §11 rows 9 and 10). Pure. The choices themselves are the constants of the ledger's rule.
 */

import type { Dtype } from '../install-token/claims.ts';
import { UNKNOWN_RESTORE_DTYPE } from '../ledger/rule.ts';

export { RESTORE_EVIDENCE, UPDATE_DTYPE } from '../ledger/rule.ts';

/** What an access token says of where it came from. */
type Origin = {
  readonly subject?: unknown;
  /** The link it was exchanged for, while that link's install token lives. */
  readonly install?: { readonly appleItemId: string; readonly dtype: Dtype; readonly untilSeconds: number } | undefined;
};

/**
 * The `dtype` of a restore's token. Right after a link it is the link's. Later the ledger decides for a known subject
 * (undefined). A request that names nobody could be the first install or a device restore, and nothing in it tells
 * which; it gets what costs no advertiser money.
 */
export function restoreDtype({ subject, install }: Origin, appleItemId: string, nowSeconds: number): Dtype | undefined {
  if (install?.appleItemId === appleItemId && nowSeconds < install.untilSeconds) return install.dtype;
  return subject === undefined ? UNKNOWN_RESTORE_DTYPE : undefined;
}
