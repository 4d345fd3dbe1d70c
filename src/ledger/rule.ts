/**
 * The rule of `dtype`, in one place. A subject that has not had the app gets `download`; once an install counts,
 * `redownload`. Tokens of one attempt (the link, a retry, the restore that follows) must agree (docs/apple-facts.md §1.6), so
 * the answer changes only one token lifetime after the evidence. Where Apple's pages leave the answer open, the choice is
 * a constant here. Pure.
 *
 * A subject stands for a device, never for the customer's account: `dtype` is "for this device", although the
 * `conversion-type` that it becomes reads as if it were per person (docs/apple-facts.md §9, §11 row 8).
 */

export type Dtype = 'download' | 'redownload';

/** What can show that an install happened, weakest last. */
export type EvidenceKind = 'confirm' | 'tap' | 'issue';

const counting: Readonly<Record<EvidenceKind, readonly EvidenceKind[]>> = {
  confirm: ['confirm'],
  tap: ['confirm', 'tap'],
  issue: ['confirm', 'tap', 'issue'],
};

/** Whether evidence of a kind makes an install count under the setting `WEBDIST_INSTALL_EVIDENCE`. */
export const counts = (kind: EvidenceKind, setting: EvidenceKind): boolean => counting[setting].includes(kind);

/**
 * The `dtype` of a token issued at `nowSeconds` to a subject whose first counting evidence was at `installedAtSeconds`
 * (none: undefined). All times in seconds since 1970.
 */
export function dtypeAt(nowSeconds: number, installedAtSeconds: number | undefined, lifetimeSeconds: number): Dtype {
  const turned = installedAtSeconds !== undefined && nowSeconds >= installedAtSeconds + lifetimeSeconds;
  return turned ? 'redownload' : 'download';
}

/** For this long after its issue, evidence that names a token by its nonce counts. */
const EVIDENCE_SECONDS = 24 * 60 * 60;

/** Whether evidence at `nowSeconds` for a token issued in the minute that begins at `issuedAtSeconds` comes in time. */
export const isInTime = (issuedAtSeconds: number, nowSeconds: number): boolean =>
  nowSeconds < issuedAtSeconds + EVIDENCE_SECONDS + 60;

/**
 * A restore request of a known subject is evidence of this kind, and its token then gets the `dtype` of the ordinary
 * rule: in the window after the first evidence it belongs to that first install and agrees with the link's token
 * (docs/apple-facts.md §1.6, §11 row 10); later it is a device restore, `redownload` (§3.3, §11 row 9).
 */
export const RESTORE_EVIDENCE: EvidenceKind = 'confirm';

/** An update: the app is on the device already (docs/apple-facts.md §3.3, §11 row 9). Apple specifies nothing. */
export const UPDATE_DTYPE: Dtype = 'redownload';

/** A restore request that names no subject: it may be a first install or a device restore (docs/apple-facts.md §3.2, §11 row 9). */
export const UNKNOWN_RESTORE_DTYPE: Dtype = 'redownload';

/** A link requested by a server that names no subject: nothing speaks against a first install. */
export const UNKNOWN_SUBJECT_DTYPE: Dtype = 'download';

/** The ledger does not answer: claiming a first install that was none would cost an advertiser money. */
export const LEDGER_DOWN_DTYPE: Dtype = 'redownload';
