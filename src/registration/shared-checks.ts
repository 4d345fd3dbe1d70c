/** Decides which replica checks App Store Connect next, and keeps the findings of the last check of any replica. */

import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { WebdistError } from '../errors.ts';
import type { OwnedRegistration } from './app-registration.ts';
import type { Clock } from './clock.ts';
import type { OwnedDomainRegistration } from './domain-registration.ts';
import {
  adoptFindings,
  configurationOf,
  type Findings,
  findingsText,
  parseFindings,
  problemsIn,
  stepOf,
} from './findings.ts';
import type { RegistrationStore } from './store-contract.ts';
import { type LastCheck, TURN_MS } from './turns.ts';

type Deps = {
  readonly config: Pick<Config, 'keyScope' | 'register' | 'appStoreConnect' | 'domain'>;
  readonly apps: readonly OwnedRegistration[];
  readonly domain: OwnedDomainRegistration;
  readonly store: Pick<RegistrationStore, 'takeTurn' | 'keepTurn' | 'endTurn' | 'dropTurn' | 'readNotice'>;
  /** App Store Connect's clock minus this machine's according to this process's own requests, in seconds. */
  readonly ownClockOffsetSeconds: () => number | undefined;
  readonly log: Logger;
  readonly clock: Clock;
};

type SharedTurn = {
  readonly isMine: boolean;
  /** Whether another replica's findings were adopted. */
  readonly isNews: boolean;
  /** Undefined if there was none, or if the store cannot be used. */
  readonly last: Omit<LastCheck, 'findings'> | undefined;
};

export interface SharedChecks {
  /**
   * App Store Connect's clock minus this machine's, in seconds, from its own requests or from another replica; undefined
   * while unknown.
   */
  readonly clockOffsetSeconds: number | undefined;
  /**
   * Adopts what another replica found, and takes the turn if a check is due or wanted. If the store cannot be used, takes
   * the turn in any case.
   */
  take(request: { readonly isDue: boolean; readonly wantedForMs: number | undefined }): Promise<SharedTurn>;
  /** Ends the turn, and reports what was found about these apps to the other replicas. */
  end(result: { found: readonly OwnedRegistration[]; nextInSeconds: number; failures: number }): Promise<void>;
  /** Gives the turn up: the check was not finished. */
  drop(): Promise<void>;
}

/** Problems that may affect only one replica: it cannot reach App Store Connect, or its API key or clock is wrong. */
const isOfOneReplica = ({ code }: Pick<WebdistError, 'code'>) =>
  /^(key_|asc_(outage|clock|credentials)$|signer_unavailable$|internal_error$)/.test(code);

/** Nothing here throws: a store that cannot be used is logged once, and every replica checks for itself meanwhile. */
export function openSharedChecks({
  config,
  apps,
  domain,
  store,
  ownClockOffsetSeconds,
  log,
  clock,
}: Deps): SharedChecks {
  const replica = randomUUID();
  let configuration = '';
  let knownId: string | undefined;
  let step = '';
  let wasUsable = true;
  let storeOffsetSeconds: number | undefined;
  let appleAheadOfStoreSeconds: number | undefined;
  /** The value of `Clock.timeOriginMs` when the offset of this machine's clock was last measured. */
  let measuredOriginMs = clock.timeOriginMs();
  let cancelKeeping: (() => void) | undefined;

  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      const result = await work();
      if (!wasUsable) log.info({ event: 'checks_shared' }, 'checks are shared with the other replicas again');
      wasUsable = true;
      return result;
    } catch (err) {
      if (wasUsable) log.warn({ event: 'checks_not_shared', err }, 'this replica checks App Store Connect by itself');
      wasUsable = false;
      return undefined;
    }
  };
  const keep = () => {
    cancelKeeping = clock.after(TURN_MS / 3, () => {
      void store.keepTurn({ configuration, replica }).catch(() => undefined);
      keep();
    });
  };
  const adopt = ({ id, found }: { id: string; found: Findings }) => {
    knownId = id;
    appleAheadOfStoreSeconds = found.appleAheadOfStoreSeconds;
    measuredOriginMs = clock.timeOriginMs();
    adoptFindings(found, { apps, domain });
  };
  /**
   * The failure of another replica may affect only that replica. So if this one has no problem yet, it checks for itself
   * before it adopts the failure.
   */
  const isDoubtful = (found: Findings) =>
    problemsIn(found).some(isOfOneReplica) && [...apps, domain].every(({ state }) => !state.problem);
  const take = async (wantedForMs: number | undefined): Promise<SharedTurn> => {
    // Read first: findings from before this step do not count.
    step = stepOf(await store.readNotice());
    configuration = configurationOf(config, apps);
    const wantedForSeconds = wantedForMs && wantedForMs / 1000;
    const turn = await store.takeTurn({ configuration, replica, wantedForSeconds, knownId });
    storeOffsetSeconds = turn.storeOffsetSeconds;
    if (storeOffsetSeconds !== undefined) measuredOriginMs = clock.timeOriginMs();
    let { isMine, last } = turn;
    const news = last?.findings && { id: last.findings.id, found: parseFindings(last.findings.text) };
    // Findings from before a step of a rotation, or before this process was suspended, may be outdated.
    const counts = news?.found.step === step && (!isMine || (last?.nextInSeconds ?? 0) > 0);
    const isNews = counts && !isDoubtful(news.found);
    if (isNews) adopt(news);
    else if (counts && !isMine)
      ({ isMine, last } = await store.takeTurn({ configuration, replica, wantedForSeconds: 0, knownId }));
    if (isMine) keep();
    return { isMine, isNews, last };
  };
  return {
    get clockOffsetSeconds() {
      if (appleAheadOfStoreSeconds === undefined) return ownClockOffsetSeconds();
      return appleAheadOfStoreSeconds + (storeOffsetSeconds ?? 0) - (clock.timeOriginMs() - measuredOriginMs) / 1000;
    },
    async take({ isDue, wantedForMs }) {
      const turn = await attempt(() => take(wantedForMs));
      return turn ?? { isMine: isDue || wantedForMs !== undefined, isNews: false, last: undefined };
    },
    async end({ found, nextInSeconds, failures }) {
      cancelKeeping?.();
      appleAheadOfStoreSeconds = undefined;
      const offset = ownClockOffsetSeconds();
      const id = randomUUID();
      const text = findingsText(
        { apps: found, domain },
        { step, appleAheadOfStoreSeconds: offset === undefined ? undefined : offset - (storeOffsetSeconds ?? 0) },
      );
      knownId = id;
      await attempt(() => store.endTurn({ configuration, replica, nextInSeconds, failures, findings: { id, text } }));
    },
    async drop() {
      cancelKeeping?.();
      await attempt(() => store.dropTurn({ configuration, replica }));
    },
  };
}
