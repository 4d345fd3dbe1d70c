/**
 * The rule of `dtype`, in one place. A subject that has not had the app gets `download`; once an install counts,
 * `redownload`. Tokens of one attempt (the link, a retry, the restore that follows) must agree (docs/apple-facts.md §1.6), so
 * the answer turns only one token lifetime after the evidence. Where Apple's pages leave the answer open, the choice is
 * a constant here. Pure.
 *
 * What stands for a device is the subject, never the customer's account: `dtype` is "for this device", though the
 * `conversion-type` it becomes reads as if it were per person (docs/apple-facts.md §9, §11 row 8).
 */

export type Dtype = 'download' | 'redownload';

/** What can show that an install happened, weakest last. */
export type Evidence = 'confirm' | 'tap' | 'issue';

const counting: Readonly<Record<Evidence, readonly Evidence[]>> = {
  confirm: ['confirm'],
  tap: ['confirm', 'tap'],
  issue: ['confirm', 'tap', 'issue'],
};

/** Whether a kind of evidence makes an install count under the setting `WEBDIST_INSTALL_EVIDENCE`. */
export const counts = (evidence: Evidence, setting: Evidence): boolean => counting[setting].includes(evidence);

/**
 * The `dtype` of a token issued at `nowSeconds` to a subject whose first counting evidence was at `installedAtSeconds`
 * (none: undefined). All times in seconds since 1970.
 */
export function dtypeAt(nowSeconds: number, installedAtSeconds: number | undefined, lifetimeSeconds: number): Dtype {
  const turned = installedAtSeconds !== undefined && nowSeconds >= installedAtSeconds + lifetimeSeconds;
  return turned ? 'redownload' : 'download';
}

/**
 * A restore request of a known subject is evidence of this kind, and its token then gets the `dtype` of the ordinary
 * rule: in the window after the first evidence it belongs to that first install and agrees with the link's token
 * (docs/apple-facts.md §1.6, §11 row 10); later it is a device restore, `redownload` (§3.3, §11 row 9).
 */
export const RESTORE_EVIDENCE: Evidence = 'confirm';

/** An update: the app is on the device already (docs/apple-facts.md §3.3, §11 row 9). Apple specifies nothing. */
export const UPDATE_DTYPE: Dtype = 'redownload';

/** A restore request that names no subject: nothing tells a first install from a device restore (docs/apple-facts.md §3.2, §11 row 9). */
export const UNKNOWN_RESTORE_DTYPE: Dtype = 'redownload';

/** A link asked for by a server that names no subject: nothing is known against a first install. */
export const UNKNOWN_SUBJECT_DTYPE: Dtype = 'download';

/** The ledger does not answer: claiming a first install that was none would cost an advertiser money. */
export const LEDGER_DOWN_DTYPE: Dtype = 'redownload';

/** Seconds for which an issued token is remembered, so that evidence naming its nonce can still be matched. */
export const TOKEN_MEMORY_SECONDS = 24 * 60 * 60;
