/** The contract of a ledger, for every backend: it knows which subject installed which app, and since when. */

/** One app of one subject. */
export type LedgerEntry = {
  /** The subject's tag, an integer below 2^45: a keyed hash, so that the ledger names no one. */
  readonly subject: number;
  readonly appleItemId: string;
};

/** An install, and the second of its first evidence, since 1970. */
export type ShownInstall = LedgerEntry & { readonly installedAtSeconds: number };

/**
 * An install as it is stored. `redownloadAtSeconds` is the second from which tokens say `redownload`. It is stored, so that
 * a change of the token lifetime does not move it.
 */
export type InstallRecord = ShownInstall & { readonly redownloadAtSeconds: number };

/** What a lookup finds. */
type KnownInstall = Omit<InstallRecord, keyof LedgerEntry> & {
  /** The time by the clock of the ledger's own server, if it has one, in seconds since 1970. All replicas share it. */
  readonly ledgerSeconds?: number;
};

/** One install of a subject, in the form that is exported on request of that person. */
type SubjectInstall = Omit<ShownInstall, 'subject'>;

/** What a lookup of several entries finds. */
export type FoundInstalls = readonly (KnownInstall | undefined)[];

/** Where a ledger is. Contains secrets; never log it. */
export type LedgerAddress = {
  readonly url: string;
  /** The file that the URL came from. It is read again when a database server refuses the login. */
  readonly urlFile?: string | undefined;
  /** For a URL without a password: the password, or its file, which is also read again. */
  readonly password?: string | undefined;
  readonly passwordFile?: string | undefined;
};

/** Returns the variable that gave the URL of an address, for messages: `setting`, or its `_FILE`. */
export const variableOf = (setting: string, { urlFile }: LedgerAddress): string =>
  urlFile === undefined ? setting : `${setting}_FILE`;

/** The number of entries in a ledger. */
type LedgerStats = { readonly installs: number };

/**
 * Answers lookups: a ledger, or a read replica of one. Every method throws `ledger_unavailable` when it cannot answer.
 */
export interface LedgerReader {
  /**
   * Returns the installs, in the order of the entries; undefined if there is no such install. Makes one read for all
   * entries, and returns no promise if the ledger is in this process.
   */
  lookUp(entries: readonly LedgerEntry[]): FoundInstalls | Promise<FoundInstalls>;
  /** Throws if lookups cannot be answered. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The record of which subject already had which app. Every method throws `ledger_unavailable` when it cannot answer. */
export interface Ledger extends LedgerReader {
  /** Adds installs, durably, all or none. An install that already exists gets the older of each two times. */
  addInstalls(installs: readonly InstallRecord[]): Promise<void>;
  /** Returns the fingerprint of the secret that the installs are hashed with; undefined before the first one is stored. */
  secretFingerprint(): Promise<string | undefined>;
  /** Stores the fingerprint, durably, unless the ledger has one already. */
  keepSecretFingerprint(fingerprint: string): Promise<void>;
  /** Returns the installs of one subject, oldest first. */
  export(subject: number): Promise<readonly SubjectInstall[]>;
  /** Deletes the installs of one subject, and returns their number. */
  forget(subject: number): Promise<number>;
  stats(): Promise<LedgerStats>;
  /** Calls `take` with all installs, up to 1000 at a time, as they were at one moment. Other work continues meanwhile. */
  readAll(take: (installs: readonly InstallRecord[]) => Promise<void>): Promise<void>;
  /**
   * Deletes the installs from before `beforeSeconds`, but at most `atMost` (default: all). Deletes a few at a time, so
   * that requests are answered in between. Returns the number of deleted installs.
   */
  prune(beforeSeconds: number, atMost?: number): Promise<number>;
  /**
   * Stores a heartbeat, which proves that the ledger can store. Returns its time, from which the lag of a read replica
   * is measured.
   */
  beat(): Promise<number>;
}

/** A copy of a ledger. It follows the ledger with some lag, and answers lookups. */
export interface LedgerReplica extends LedgerReader {
  /** Returns the time of the ledger's last `beat` that has arrived at this replica. */
  lastBeat(): Promise<number>;
}
