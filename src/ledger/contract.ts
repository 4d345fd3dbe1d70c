/** What a ledger does, whichever backend stores it: it knows which subject installed which app, and since when. */

/** One app of one subject. */
export type LedgerEntry = {
  /** The subject's tag, an integer below 2^45: a keyed hash, so that the ledger names no one. */
  readonly subject: number;
  readonly appleItemId: string;
};

/** An install: it counts from the second of its first evidence on, in seconds since 1970. */
export type InstallRecord = LedgerEntry & { readonly installedAtSeconds: number };

/** One install of a subject, as exported to the person it is about. */
type SubjectInstall = Omit<InstallRecord, 'subject'>;

/** How much a ledger holds. */
type LedgerStats = { readonly installs: number };

/** What answers lookups: a ledger, or a read replica of one. Every method throws `ledger_unavailable` when it cannot answer. */
export interface LedgerReader {
  /** When each install began to count, in the order of the entries; undefined for one that is not known. One read for all. */
  installedAt(entries: readonly LedgerEntry[]): Promise<readonly (number | undefined)[]>;
  /** Throws when it cannot answer lookups. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The record of which subject already had which app. Every method throws `ledger_unavailable` when it cannot answer. */
export interface Ledger extends LedgerReader {
  /** Adds installs, durably, all or none. The first evidence wins: an install that is known keeps its second. */
  addInstalls(installs: readonly InstallRecord[]): Promise<void>;
  /** The installs of one subject, oldest first. */
  export(subject: number): Promise<readonly SubjectInstall[]>;
  /** Deletes the installs of one subject; gives their number. */
  forget(subject: number): Promise<number>;
  stats(): Promise<LedgerStats>;
  /** Deletes installs from before that second, a few at a time, so that requests are answered in between. */
  prune(beforeSeconds: number): Promise<void>;
  /** Proves that it can store; gives the time of the proof, by which the lag of a read replica is measured. */
  beat(): Promise<number>;
}

/** A copy of a ledger that follows it with some lag and answers lookups. */
export interface LedgerReplica extends LedgerReader {
  /** The time of the ledger's last `beat` that has arrived here. */
  lastBeat(): Promise<number>;
}
