/**
 * The service's access to the ledger. All requests of an event-loop tick share one read. Each call returns in time even
 * if the ledger does not answer. Only evidence causes a write.
 */

import type { Logger } from 'pino';
import { batchPerTick } from '../batch.ts';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { Decision, Entry } from '../install-token/issue.ts';
import type { Nonces } from '../install-token/nonce.ts';
import type { InstallRecord, LedgerEntry, ShownInstall } from '../ledger/contract.ts';
import { trackLag } from '../ledger/lag.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import {
  counts,
  decidingSeconds,
  dtypeAt,
  type EvidenceKind,
  evidenceTime,
  evidenceTimes,
  isInTime,
  LEDGER_DOWN_DTYPE,
  UNKNOWN_SUBJECT_DTYPE,
} from '../ledger/rule.ts';
import { openLedgerOfSecret } from '../ledger/secret-check.ts';
import { steadySeconds } from '../ledger/steady-seconds.ts';
import type { Metrics } from '../metrics.ts';
import { sharedSpan, span } from '../tracing/tracing.ts';
import { watchDependency } from './dependency.ts';
import { openLookups, type ReplicaState } from './lookups.ts';
import { startPruning } from './pruning.ts';
import type { Subject, SubjectHash } from './subject.ts';

/**
 * Evidence that a token was used. It names the token by its nonce (and by the subject it must belong to, if a page
 * reports it), or by app and subject. A server may also name the device, in addition to the subject or instead of it.
 */
export type Evidence = { readonly subject?: Subject | undefined; readonly device?: Subject | undefined } & (
  | { readonly nonce: string }
  | { readonly appleItemId: string }
);

/** What evidence shows: an app, and the tags of the subject and of the device that have it. */
type Shown = {
  readonly appleItemId: string;
  readonly subject: number | undefined;
  readonly device: number | undefined;
  /** Seconds since 1970. */
  readonly atSeconds: number;
};

export interface Records {
  /**
   * Decides the `dtype` of one token, and whether issuing it is evidence of an install that the ledger does not have
   * yet. If the ledger is down, returns `redownload` or throws `ledger_unavailable`, as configured.
   */
  decide(entry: Entry): Promise<Decision>;
  /**
   * Adds an install that `decide` found to be new. If the ledger is down, does nothing or throws `ledger_unavailable`,
   * as configured.
   */
  addIssued(install: ShownInstall): Promise<void>;
  /**
   * Records evidence; `nowSeconds` is its time. Evidence that matches nothing, or that is too late, changes nothing.
   * Throws `ledger_unavailable`.
   */
  confirm(kind: EvidenceKind, evidence: Evidence, nowSeconds: number): Promise<void>;
  /** The current problem of the ledger, for health; undefined if there is none. */
  readonly problem: string | undefined;
  /** The read replica; undefined without one. */
  readonly replica: ReplicaState | undefined;
  close(): Promise<void>;
}

/** The longest that a request waits for the ledger. It leaves 50 ms for other work. */
const ANSWER_MS = 200;

type Settings = Pick<Config, 'mode' | 'ledger' | 'tokenLifetimeSeconds'>;
type Deps = {
  /** Identifies the secret of `nonces` and `hash` in the ledger. */
  readonly secretFingerprint: string;
  readonly nonces: Pick<Nonces, 'open'>;
  /** Undefined for an app that is not served. */
  readonly bundleIdOf: (appleItemId: string) => string | undefined;
  readonly hash: (subject: Subject) => SubjectHash;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** App Store Connect's clock minus this machine's, in seconds; undefined while it is unknown. */
  readonly clockOffsetSeconds: () => number | undefined;
};

/** Opens the ledger of the settings. Throws `config_invalid` or `state_invalid`. */
export async function openRecords(
  settings: Settings,
  { secretFingerprint, nonces, bundleIdOf, hash, metrics, log, now, clockOffsetSeconds }: Deps,
): Promise<Records> {
  const { evidence: setting, whenDown, retentionDays } = settings.ledger;
  const lifetimeSeconds = settings.tokenLifetimeSeconds;
  const { isDurable, isShared } = ledgerBackend(settings.ledger.url);
  const ledger = await openLedgerOfSecret(settings.ledger, secretFingerprint, () => {
    if (isDurable && settings.mode === 'production')
      log.warn(
        { event: 'ledger_new' },
        'the ledger is new, so every device counts as new; if this is not the first start, the earlier ledger is missing',
      );
  });
  const watched = { answerMs: ANSWER_MS, metrics, log };
  const lag = trackLag();
  const lookups = await openLookups(
    ledger,
    { read: settings.ledger.read, whenDown, lifetimeSeconds, answerMs: ANSWER_MS },
    { metrics, log, lag },
  );
  // Storing is watched separately from lookups, because a ledger that cannot be written, for example on a full disk,
  // still answers lookups.
  const storing = await watchDependency({
    name: 'ledger_evidence',
    ping: async () => lag.stored(await ledger.beat()),
    // Storing an install twice changes nothing.
    isRepeatable: true,
    meanwhile: 'evidence is refused, so that it is sent again',
    ...watched,
  });
  const read = sharedSpan('ledger read');
  const readTick = batchPerTick((entries: readonly LedgerEntry[]) =>
    read.during({ 'webdist.tokens': entries.length }, () => lookups.lookUp(entries)),
  );
  const known = (entry: LedgerEntry) => {
    read.join();
    return readTick(entry);
  };
  // There is nothing to wait for. But in this way, the tokens of a tick are signed one after another. If each were signed
  // between the parsing of two requests, the two would compete for the processor's caches. This takes 0.58 times the CPU
  // time at 64 connections.
  const withTick = batchPerTick(async (decisions: readonly Decision[]) => decisions);
  const add = batchPerTick(async (installs: readonly InstallRecord[]) => {
    await storing.use(() => ledger.addInstalls(installs));
    return installs;
  });
  const otherClocks = async () => [clockOffsetSeconds(), isShared ? (await ledger.beat()) - now() / 1000 : undefined];
  const stopPruning = startPruning({ ledger, retentionDays, now, otherClocks, log });
  const steady = steadySeconds();
  const lookUp = async (entry: Entry, key: LedgerEntry, isEvidence: boolean): Promise<Decision> => {
    try {
      const install = await known(key);
      const { issuedAtSeconds } = entry;
      const nowSeconds = install ? steady(decidingSeconds(issuedAtSeconds, install.ledgerSeconds)) : issuedAtSeconds;
      return { dtype: entry.dtype ?? dtypeAt(nowSeconds, install), isNewInstall: isEvidence && !install };
    } catch (error) {
      metrics.ledgerFailures.inc();
      if (whenDown === 'refuse') throw asUnavailable(error);
      return { dtype: entry.dtype ?? LEDGER_DOWN_DTYPE, isNewInstall: false };
    }
  };
  /** Returns undefined if it is not evidence of an install. */
  const installShownBy = (evidence: Evidence, nowSeconds: number): Shown | undefined => {
    const subject = evidence.subject && hash(evidence.subject).tag;
    const device = evidence.device && hash(evidence.device).tag;
    if ('appleItemId' in evidence) return { appleItemId: evidence.appleItemId, subject, device, atSeconds: nowSeconds };
    const record = nonces.open(evidence.nonce, nowSeconds);
    if (!record || !isInTime(record.issuedAtSeconds, nowSeconds)) return undefined;
    if (subject !== undefined && subject !== record.subject) return undefined;
    const atSeconds = evidenceTime(nowSeconds, record.issuedAtSeconds);
    return { appleItemId: record.appleItemId, subject: record.subject, device, atSeconds };
  };
  /** Adds the install of the subject and that of the device, together. Reads the ledger only if a device is named. */
  const addShown = async ({ appleItemId, subject, device, atSeconds }: Shown) => {
    // Not from the read replica, which may not have the device's install yet.
    const [onDevice] =
      device === undefined ? [] : await storing.use(() => ledger.lookUp([{ subject: device, appleItemId }]));
    const times = evidenceTimes(atSeconds, lifetimeSeconds, onDevice);
    const tags = [subject, device].filter((tag) => tag !== undefined);
    await Promise.all(tags.map((tag) => add({ subject: tag, appleItemId, ...times })));
  };
  return {
    decide(entry) {
      const { app, subject, dtype, evidence = 'issue' } = entry;
      const isEvidence = subject !== undefined && counts(evidence, setting);
      // A subject that was generated for this request has no installs, and a given `dtype` needs no lookup.
      if (subject === undefined || entry.isNewSubject || (dtype !== undefined && !isEvidence))
        return withTick({ dtype: dtype ?? UNKNOWN_SUBJECT_DTYPE, isNewInstall: isEvidence });
      return span(
        'ledger decide',
        () => lookUp(entry, { subject, appleItemId: app.appleItemId }, isEvidence),
        (decision) => decision && { 'webdist.dtype': decision.dtype },
      );
    },
    async addIssued(install) {
      try {
        await add({ ...install, ...evidenceTimes(install.installedAtSeconds, lifetimeSeconds) });
      } catch (error) {
        metrics.ledgerFailures.inc();
        if (whenDown === 'refuse') throw asUnavailable(error);
      }
    },
    async confirm(kind, evidence, nowSeconds) {
      const shown = counts(kind, setting) ? installShownBy(evidence, nowSeconds) : undefined;
      if (!shown || (shown.subject === undefined && shown.device === undefined)) return;
      const app = bundleIdOf(shown.appleItemId);
      try {
        await addShown(shown);
        if (app) metrics.installEvidence.inc({ app, evidence: kind });
      } catch (error) {
        metrics.ledgerFailures.inc();
        throw asUnavailable(error);
      }
    },
    get problem() {
      return lookups.problem ?? (storing.problem && `It cannot store, so evidence is refused: ${storing.problem}`);
    },
    replica: lookups.replica,
    async close() {
      stopPruning();
      await lookups.close();
      storing.close();
      await ledger.close();
    },
  };
}

/** The message is for callers. Operators find the reason in the log and in health. */
const asUnavailable = (cause: unknown): WebdistError =>
  new WebdistError('ledger_unavailable', 'The ledger does not answer.', { cause, retryAfterSeconds: 1 });
