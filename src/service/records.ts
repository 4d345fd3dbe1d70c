/**
 * The ledger as the service uses it: subjects hashed before they reach it, one transaction for the requests of a turn,
 * an answer in time also when the ledger has none.
 */

import type { Logger } from 'pino';
import { batchPerTick } from '../batch.ts';
import type { Config } from '../config/config.ts';
import { isWebdistError, WebdistError } from '../errors.ts';
import { latest } from '../latest.ts';
import type { InstallEvidence, LedgerEntry, LedgerStats, SubjectEntry, SubjectRecords } from '../ledger/contract.ts';
import { openLedger } from '../ledger/ledger.ts';
import { counts, type Dtype, type Evidence, LEDGER_DOWN_DTYPE, UNKNOWN_SUBJECT_DTYPE } from '../ledger/rule.ts';
import type { Metrics } from '../metrics.ts';
import { sharedSpan, span } from '../tracing/tracing.ts';
import { watchDependency } from './dependency.ts';
import { derivedKey, keyedHash } from './secret.ts';

/** Who an install is for, in the clear: a device cookie's id, or an id an authenticated caller gave. */
export type Subject = { readonly kind: 'device' | 'caller'; readonly id: string };

/** That a token was used: by its nonce, of a subject when a page says so, or by app and subject. */
export type Used =
  | { readonly nonce: string; readonly subject?: Subject | undefined }
  | { readonly appleItemId: string; readonly subject: Subject };

export interface Records {
  /** The one-way hash under which a subject is known: 32 hex digits. */
  hash(subject: Subject): string;
  /** Decides and remembers. When the ledger is down: `redownload`, or throws `ledger_unavailable`, as configured. */
  dtypeFor(entry: LedgerEntry): Promise<Dtype>;
  /** Takes note that a token was used. Throws `ledger_unavailable`. */
  confirm(evidence: Evidence, used: Used): Promise<void>;
  /** Everything remembered of one subject. Throws `ledger_unavailable`. */
  export(subject: Subject): Promise<SubjectRecords>;
  /** Deletes everything about one subject; gives the number of installs forgotten. Throws `ledger_unavailable`. */
  forget(subject: Subject): Promise<number>;
  /** Throws `ledger_unavailable`. */
  stats(): Promise<LedgerStats>;
  /** Whether the ledger failed the last time it was asked. */
  readonly isDown: boolean;
  close(): Promise<void>;
}

/** Nobody waits longer for the ledger; the contract's 250 ms leave the rest for signing. */
const ANSWER_MS = 200;
const PRUNE_MS = 60 * 60 * 1000;

type Settings = Pick<Config, 'ledger' | 'tokenLifetimeSeconds'>;
type Parts = { readonly secret: string; readonly metrics: Metrics; readonly log: Logger; readonly now: () => number };

/** Opens the ledger of the settings. Throws `config_invalid` or `state_invalid`. */
export async function openRecords(settings: Settings, { secret, metrics, log, now }: Parts): Promise<Records> {
  const { url, evidence: setting, whenDown, retentionDays } = settings.ledger;
  const lifetimeSeconds = settings.tokenLifetimeSeconds;
  const ledger = await openLedger(url, { lifetimeSeconds, evidence: setting, retentionDays });
  const watched = await watchDependency({
    name: 'ledger',
    ping: ledger.ping,
    answerMs: ANSWER_MS,
    meanwhile: whenDown === 'refuse' ? 'tokens are refused' : `tokens are issued as ${LEDGER_DOWN_DTYPE}`,
    metrics,
    log,
  });
  const keyed = keyedHash(derivedKey(secret, 'subject'));
  // A device asks for all of its apps as one subject.
  const hash = latest(({ kind, id }: Subject) => keyed(`${kind}\0${id}`, 'hex').slice(0, 32));
  const commit = sharedSpan('ledger commit');
  const recordTurn = batchPerTick((entries: readonly SubjectEntry[]) =>
    commit.during({ 'webdist.tokens': entries.length }, () => watched.ask(() => ledger.record(entries))),
  );
  const record = (entry: SubjectEntry) => {
    commit.join();
    return recordTurn(entry);
  };
  const confirm = batchPerTick(async (evidence: readonly InstallEvidence[]) => {
    await watched.ask(() => ledger.confirm(evidence, nowSeconds()));
    return evidence;
  });
  const hashed = (used: Used): InstallEvidence =>
    'nonce' in used
      ? { nonce: used.nonce, subject: used.subject && hash(used.subject) }
      : { appleItemId: used.appleItemId, subject: hash(used.subject) };
  const nowSeconds = () => Math.floor(now() / 1000);
  const prune = () =>
    ledger
      .prune(nowSeconds())
      .catch((err) => log.warn({ event: 'ledger_not_pruned', err }, 'pruning the ledger failed'));
  const pruning = setInterval(prune, PRUNE_MS).unref();
  void prune();
  return {
    hash,
    async dtypeFor(entry) {
      if (!hasSubject(entry)) return entry.dtype ?? UNKNOWN_SUBJECT_DTYPE;
      try {
        return await span(
          'ledger decide',
          () => record(entry),
          (dtype) => dtype && { 'webdist.dtype': dtype },
        );
      } catch (error) {
        metrics.ledgerFailures.inc();
        if (whenDown === 'refuse') throw asUnavailable(error);
        return entry.dtype ?? LEDGER_DOWN_DTYPE;
      }
    },
    async confirm(evidence, used) {
      if (!counts(evidence, setting)) return;
      try {
        await confirm(hashed(used));
      } catch (error) {
        metrics.ledgerFailures.inc();
        throw asUnavailable(error);
      }
    },
    export: (subject) => ledger.export(hash(subject)),
    forget: (subject) => ledger.forget(hash(subject)),
    stats: ledger.stats,
    get isDown() {
      return watched.isDown;
    },
    async close() {
      clearInterval(pruning);
      watched.close();
      await ledger.close();
    },
  };
}

const hasSubject = (entry: LedgerEntry): entry is SubjectEntry => entry.subject !== undefined;

/** What the ledger threw, or that the time for it was up. */
const asUnavailable = (error: unknown): WebdistError =>
  isWebdistError(error)
    ? error
    : new WebdistError('ledger_unavailable', 'The ledger does not answer.', { cause: error, retryAfterSeconds: 1 });
