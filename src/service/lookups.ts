/** Sends lookups to the read replica while it answers and is not too far behind, else to the ledger itself. */

import { WebdistError } from '../errors.ts';
import type { FoundInstalls, LedgerAddress, LedgerEntry, LedgerReader, LedgerReplica } from '../ledger/contract.ts';
import type { ReplicaLag } from '../ledger/lag.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { LEDGER_DOWN_DTYPE } from '../ledger/rule.ts';
import type { Metrics } from '../metrics.ts';
import { type DependencyDeps, watchDependency } from './dependency.ts';

export interface Lookups {
  /**
   * Reads all entries at once; see `LedgerReader`. Throws within the time limit. A replica that hangs doubles the time of
   * five reads, until its circuit breaker opens.
   */
  lookUp(entries: readonly LedgerEntry[]): Promise<FoundInstalls>;
  /** Says in one sentence why the last use of the ledger itself failed; undefined if it succeeded. */
  readonly problem: string | undefined;
  /** The read replica; undefined without one. */
  readonly replica: ReplicaState | undefined;
  close(): Promise<void>;
}

export type ReplicaState = {
  readonly problem: string | undefined;
  readonly lagSeconds: number;
  /** True if the replica is too far behind to be used. */
  readonly isStale: boolean;
};

type Settings = {
  /** The read replica. */
  readonly read: LedgerAddress | undefined;
  readonly whenDown: 'issue' | 'refuse';
  /**
   * Lifetime of a token. Evidence changes a `dtype` only after this time, so a replica
   * with a smaller lag is never wrong.
   */
  readonly lifetimeSeconds: number;
  /** The time limit of a read from the replica or the ledger, in milliseconds. */
  readonly answerMs: number;
};

type Deps = Pick<DependencyDeps, 'log'> & { readonly metrics: Metrics; readonly lag: ReplicaLag };

/** Opens the read replica, if there is one, and watches the replica and the ledger. Throws `config_invalid`. */
export async function openLookups(ledger: LedgerReader, settings: Settings, deps: Deps): Promise<Lookups> {
  const replica = settings.read && (await openReplica(settings.read, settings, deps));
  const withoutBoth =
    settings.whenDown === 'refuse' ? 'tokens are refused' : `tokens are issued as ${LEDGER_DOWN_DTYPE}`;
  const own = await watchDependency({
    name: 'ledger',
    ping: ledger.ping,
    isRepeatable: true,
    answerMs: settings.answerMs,
    meanwhile: replica ? `lookups need the read replica; without it, ${withoutBoth}` : withoutBoth,
    ...deps,
  });
  const fromLedger = (entries: readonly LedgerEntry[]) => own.use(() => ledger.lookUp(entries));
  return {
    lookUp: (entries) =>
      !replica || replica.isStale ? fromLedger(entries) : replica.lookUp(entries).catch(() => fromLedger(entries)),
    get problem() {
      return own.problem;
    },
    replica,
    async close() {
      own.close();
      await replica?.close();
    },
  };
}

type Replica = ReplicaState & Pick<Lookups, 'lookUp' | 'close'>;

async function openReplica(
  address: LedgerAddress,
  { lifetimeSeconds, answerMs }: Settings,
  { lag, metrics, log }: Deps,
): Promise<Replica> {
  const replica = await openLedgerReplica(address);
  const watched = await watchDependency({
    name: 'ledger_read',
    async ping() {
      try {
        lag.arrived(await replica.lastBeat());
      } finally {
        metrics.ledgerReadLag.set(lag.seconds);
      }
    },
    isRepeatable: true,
    answerMs,
    meanwhile: 'the ledger itself is read',
    metrics,
    log,
  });
  return {
    lookUp: (entries) => watched.use(() => replica.lookUp(entries)),
    get problem() {
      return watched.problem;
    },
    get lagSeconds() {
      return lag.seconds;
    },
    get isStale() {
      // The lag is known with an accuracy of 10 s, and a lifetime is at least 60 s.
      return lag.seconds > lifetimeSeconds / 2;
    },
    async close() {
      watched.close();
      await replica.close();
    },
  };
}

async function openLedgerReplica(address: LedgerAddress): Promise<LedgerReplica> {
  const { loadReplica, name } = ledgerBackend(address.url);
  if (!loadReplica) throw new WebdistError('config_invalid', `WEBDIST_LEDGER_READ: ${name} has no read replicas.`);
  return (await loadReplica())(address);
}
