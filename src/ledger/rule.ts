/**
 * The rule that decides `dtype`. A subject that has not had the app gets `download`. Once an install counts, it gets
 * `redownload`. The tokens of one attempt (the link, a retry, the restore that follows) must agree (docs/apple-facts.md
 * §1.6). So the `dtype` changes only one token lifetime after the evidence. Where Apple's pages leave a choice open, it
 * is a constant here. Pure.
 *
 * A subject stands for a device, never for the customer's account. Apple defines `dtype` "for this device", although
 * the name of the `conversion-type` derived from it suggests a person (docs/apple-facts.md §9, §11 row 8).
 */

import type { InstallRecord } from './contract.ts';

export type Dtype = 'download' | 'redownload';

/** Since when a subject has an app, and from when on its tokens say `redownload`. Seconds since 1970. */
type InstallTimes = Pick<InstallRecord, 'installedAtSeconds' | 'redownloadAtSeconds'>;

/**
 * The kinds of evidence of an install, from the strongest to the weakest. They are also the values of the setting
 * `WEBDIST_INSTALL_EVIDENCE`.
 */
export const evidenceKinds = ['confirm', 'tap', 'issue'] as const;
export type EvidenceKind = (typeof evidenceKinds)[number];

/** Whether evidence of a kind makes an install count under the setting: it is at least as strong. */
export const counts = (kind: EvidenceKind, setting: EvidenceKind): boolean =>
  evidenceKinds.indexOf(kind) <= evidenceKinds.indexOf(setting);

/** Returns the `dtype` of a token issued at `nowSeconds` to a subject with this install (undefined: none). */
export const dtypeAt = (nowSeconds: number, install: Pick<InstallTimes, 'redownloadAtSeconds'> | undefined): Dtype =>
  install !== undefined && nowSeconds >= install.redownloadAtSeconds ? 'redownload' : 'download';

/** If two clocks differ by more than this, one of them is wrong. */
const AGREEMENT_SECONDS = 60;

/**
 * Returns the time by which the rule decides: that of the ledger's own server, if it has one, because replicas whose
 * clocks differ would otherwise give different answers. The time of a server whose clock is wrong is not used.
 */
export const decidingSeconds = (ownSeconds: number, ledgerSeconds: number | undefined): number =>
  ledgerSeconds !== undefined && Math.abs(ledgerSeconds - ownSeconds) <= AGREEMENT_SECONDS ? ledgerSeconds : ownSeconds;

/** Evidence that names a token by its nonce counts for this long after the token was issued. */
const EVIDENCE_SECONDS = 24 * 60 * 60;

/** Whether evidence at `nowSeconds` for a token issued in the minute that begins at `issuedAtSeconds` is in time. */
export const isInTime = (issuedAtSeconds: number, nowSeconds: number): boolean =>
  nowSeconds < issuedAtSeconds + EVIDENCE_SECONDS + 60;

const NEVER: InstallTimes = {
  installedAtSeconds: Number.POSITIVE_INFINITY,
  redownloadAtSeconds: Number.POSITIVE_INFINITY,
};

/**
 * Returns the time of evidence for a token that was issued at `issuedAtSeconds`. Evidence is never older than its token.
 * If it seems to be, this machine's clock was set back, and the token's time is used instead. Seconds since 1970.
 */
export const evidenceTime = (nowSeconds: number, issuedAtSeconds: number): number =>
  Math.max(nowSeconds, issuedAtSeconds);

/**
 * Returns the times of an install, for evidence at `nowSeconds` from a device whose own install is known (undefined: not
 * known). The device's older times apply to the subject too: it is the same device, which has lost its cookie. The reverse
 * does not hold. A subject may be a customer's account, so its times say nothing about another device of that customer
 * (docs/apple-facts.md §9).
 */
export const evidenceTimes = (
  nowSeconds: number,
  lifetimeSeconds: number,
  device: InstallTimes = NEVER,
): InstallTimes => ({
  installedAtSeconds: Math.min(nowSeconds, device.installedAtSeconds),
  redownloadAtSeconds: Math.min(nowSeconds + lifetimeSeconds, device.redownloadAtSeconds),
});

/**
 * A restore request of a known subject is evidence of this kind, and its token gets the `dtype` of the ordinary rule.
 * Within one token lifetime of the first evidence, the restore belongs to that first install, so its token agrees with
 * the link's token (docs/apple-facts.md §1.6, §11 row 10). Later it is a device restore, `redownload` (§3.3, §11 row
 * 9).
 */
export const RESTORE_EVIDENCE: EvidenceKind = 'confirm';

/** An update: the app is on the device already (docs/apple-facts.md §3.3, §11 row 9). Apple specifies nothing. */
export const UPDATE_DTYPE: Dtype = 'redownload';

/**
 * For a restore request without a subject, which may be a first install or a device restore (docs/apple-facts.md §3.2,
 * §11 row 9).
 */
export const UNKNOWN_RESTORE_DTYPE: Dtype = 'redownload';

/** For a link that a server requests without a subject. Nothing indicates that it is not a first install. */
export const UNKNOWN_SUBJECT_DTYPE: Dtype = 'download';

/** For when the ledger does not answer. A wrong claim of a first install would cost an advertiser money. */
export const LEDGER_DOWN_DTYPE: Dtype = 'redownload';
