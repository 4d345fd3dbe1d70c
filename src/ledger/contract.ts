/** What a ledger does, whichever backend stores it. Subjects come here as keyed hashes only. */

import { WebdistError } from '../errors.ts';
import { counts, type Dtype, dtypeAt, type Evidence } from './rule.ts';

/** One token about to be issued. */
export type LedgerEntry = {
  /** A UUID. */
  readonly nonce: string;
  readonly app: { readonly appleItemId: string };
  /** Keyed hash, 32 lower-case hex digits; without one there is nothing to remember. */
  readonly subject?: string | undefined;
  /** Said by an authenticated caller; recorded and given back as it is. */
  readonly dtype?: Dtype | undefined;
  /** What asking for it shows of an install; default: `issue`, no more than that it was asked for. */
  readonly evidence?: Evidence | undefined;
  readonly issuedAtSeconds: number;
};

/** An entry of a subject that is known by something. */
export type SubjectEntry = LedgerEntry & { readonly subject: string };

/** That a token was used: by its nonce (with the subject it must belong to, when the claimant is a page), or by app and subject. */
export type InstallEvidence =
  | { readonly nonce: string; readonly subject?: string | undefined }
  | { readonly appleItemId: string; readonly subject: string };

/** Everything remembered of one subject, as exported to the person it is about; oldest first. */
export type SubjectRecords = {
  readonly installs: readonly { readonly appleItemId: string; readonly installedAtSeconds: number }[];
  readonly tokens: readonly {
    readonly nonce: string;
    readonly appleItemId: string;
    readonly issuedAtSeconds: number;
  }[];
};

/** How much a ledger holds. */
export type LedgerStats = { readonly installs: number; readonly tokens: number };

/** The record of which subject already had which app. Every method throws `ledger_unavailable` when it cannot answer. */
export interface Ledger {
  /** Decides the `dtype` of every entry by the rule of `rule.ts` and remembers the entries, durably, all or none. */
  record(entries: readonly SubjectEntry[]): Promise<readonly Dtype[]>;
  /** Makes installs count from `atSeconds` on, all or none; the first evidence wins, what matches nothing changes nothing. */
  confirm(evidence: readonly InstallEvidence[], atSeconds: number): Promise<void>;
  export(subject: string): Promise<SubjectRecords>;
  /** Deletes everything about one subject; gives the number of installs forgotten. */
  forget(subject: string): Promise<number>;
  stats(): Promise<LedgerStats>;
  /** Deletes what is older than it may be kept, a little at a time, so that requests are answered meanwhile. */
  prune(nowSeconds: number): Promise<void>;
  /** Throws when it cannot answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What a ledger has to know of the operator's choices. */
export type LedgerOptions = {
  readonly lifetimeSeconds: number;
  readonly evidence: Evidence;
  /** 0 keeps installs for ever. */
  readonly retentionDays: number;
};

/** Whether an entry is itself evidence that counts, from the second of its issuing on: for the backends. */
export const isCounting = ({ evidence = 'issue' }: LedgerEntry, options: Pick<LedgerOptions, 'evidence'>): boolean =>
  counts(evidence, options.evidence);

/** The `dtype` of an entry, given when the install of its subject and app began to count: for the backends. */
export const decide = (
  { dtype, issuedAtSeconds }: LedgerEntry,
  installedAtSeconds: number | undefined,
  { lifetimeSeconds }: Pick<LedgerOptions, 'lifetimeSeconds'>,
): Dtype => dtype ?? dtypeAt(issuedAtSeconds, installedAtSeconds, lifetimeSeconds);

/**
 * The migrations still to be run on a ledger of this schema version; the schema version is the number of migrations
 * run. Throws `state_invalid` for a newer one. `name` is what the message calls the ledger.
 */
export function migrationsAfter(version: number, migrations: readonly string[], name: string): readonly string[] {
  if (version > migrations.length)
    throw new WebdistError('state_invalid', `The ledger ${name} was written by a newer webdist.`, {
      hint: 'Run that version, or name another ledger in WEBDIST_LEDGER.',
    });
  return migrations.slice(version);
}
