/**
 * Keeps what is known about the registration current: checks App Store Connect at start-up and again in the background
 * (docs/apple-facts.md §4.11), or adopts what another replica found; stores the result, and follows a rotation
 * (docs/rotation.md). Signing stops when the registered key is not one that is held here.
 */

import { openAccountViews } from '../app-store-connect/account-view.ts';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { Config } from '../config/config.ts';
import type { WebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import type { OwnedRegistration } from './app-registration.ts';
import { candidateWith, refreshAll } from './candidates.ts';
import { type CheckDeps, checkApple } from './check.ts';
import type { Clock } from './clock.ts';
import { coalesced } from './coalesced.ts';
import { nextCheckSeconds } from './next-check.ts';
import type { RegistrationObserver } from './observer.ts';
import { affects, missedRotation, type Notice, signsWithNew } from './rotation/notice.ts';
import type { NoticeStatus } from './rotation/watch.ts';
import { openSharedChecks } from './shared-checks.ts';
import type { RegisteredKey, RegistrationEvent } from './state.ts';
import type { RegistrationStore } from './store-contract.ts';

export type WatchDeps = CheckDeps & {
  readonly config: Pick<Config, 'keyScope' | 'register' | 'registerIntervalSeconds' | 'appStoreConnect' | 'domain'>;
  /** Opens App Store Connect; undefined with `WEBDIST_REGISTER=off`. Throws when the API key cannot be read. */
  readonly connect: (() => Promise<AppStoreConnect>) | undefined;
  /** App Store Connect's clock minus this machine's according to this process's own requests, in seconds. */
  readonly ownClockOffsetSeconds: () => number | undefined;
  readonly store: RegistrationStore;
  readonly observer: Pick<RegistrationObserver, 'check' | 'changed'>;
  readonly clock: Clock;
};

/** A running watch over the registration. */
export interface RegistrationWatch {
  /** App Store Connect's clock minus this machine's, in seconds; undefined while it is unknown. */
  readonly clockOffsetSeconds: number | undefined;
  /**
   * Refreshes the keys; resolves when a check has ended that began after this call, here or in another replica with the
   * same keys. Never throws: the outcome is in the states.
   */
  reconcile(): Promise<void>;
  /** Follows the notice of a rotation. */
  follow(status: NoticeStatus): Promise<void>;
  close(): Promise<void>;
}

/**
 * How often a replica reads from the store whether another replica has checked, and how often while it waits for such a
 * check.
 */
const POLL_MS = 5000;
const WAITING_POLL_MS = 500;

/**
 * When several replicas see at the same moment that a rotation was abandoned, each checks at a random moment within
 * this time.
 */
const ABANDONED_CHECK_MS = 2000;

/**
 * The response "limit used up" names no time. Because the hour is a rolling one, some requests are possible again soon.
 */
const LIMIT_PAUSE_SECONDS = 60;

/**
 * Starts with the state in the store. Checks nothing before the first `reconcile`. After that, checks regularly until
 * `close`.
 */
export async function watchRegistration(deps: WatchDeps): Promise<RegistrationWatch> {
  const { config, apps, domain, connect, store, observer, log, clock } = deps;
  const views = openAccountViews();
  const shared = openSharedChecks(deps);
  let failures = 0;
  /**
   * Milliseconds of `clock.elapsed`. When the last completed check began, here or on another replica, and when the next
   * check is due.
   */
  let checkedAt = Number.NEGATIVE_INFINITY;
  let dueAt = Number.NEGATIVE_INFINITY;
  let wantedAt = Number.NEGATIVE_INFINITY;
  let refreshedAt = Number.NEGATIVE_INFINITY;
  let cancelNext: (() => void) | undefined;
  let cancelAfterAbandoned: (() => void) | undefined;
  let isClosed = false;

  const stored = await store.load();
  for (const one of apps) one.apply({ type: 'remembered', key: rememberedKey(one, stored, clock) });

  const refresh = async () => {
    if (wantedAt <= refreshedAt && clock.elapsed() < dueAt) return;
    refreshedAt = clock.elapsed();
    await Promise.all(apps.map(({ candidates, state }) => refreshAll(candidates, state.registered?.spki)));
  };
  /** To be called when a check that began at `beganAt` has ended. Returns the seconds until the next check. */
  const ended = (beganAt: number): number => {
    const problem = worstProblem(deps);
    failures = problem ? failures + 1 : 0;
    const seconds = nextCheckSeconds({
      intervalSeconds: config.registerIntervalSeconds,
      failures,
      retryAfterSeconds: problem && pauseSecondsOf(problem),
      random: clock.random,
    });
    checkedAt = beganAt;
    dueAt = clock.elapsed() + seconds * 1000;
    return seconds;
  };
  const checkInTurn = async (apple: NonNullable<typeof connect>) => {
    const beganAt = clock.elapsed();
    let found: readonly OwnedRegistration[] = [];
    await observer.check(async () => {
      found = await checkApple(apple, views, deps);
    });
    if (isClosed) await shared.drop();
    else await shared.end({ found, nextInSeconds: ended(beganAt), failures });
  };
  /** Checks, or adopts what another replica found. Returns whether anything was found. */
  const step = async (): Promise<boolean> => {
    const now = clock.elapsed();
    if (!connect) {
      for (const one of apps) one.apply({ type: 'skipped' });
      ended(now);
      return true;
    }
    const wantedForMs = wantedAt > checkedAt ? now - wantedAt : undefined;
    const { isMine, isNews, last } = await shared.take({ isDue: now >= dueAt, wantedForMs });
    if (last) {
      failures = last.failures;
      checkedAt = Math.max(checkedAt, now - last.beganSecondsAgo * 1000);
      dueAt = now + last.nextInSeconds * 1000;
    }
    if (isMine) await checkInTurn(connect);
    return isMine || isNews;
  };
  const report = () => {
    observer.changed(apps, domain.state, shared.clockOffsetSeconds);
    const problem = worstProblem(deps);
    const nextSeconds = (dueAt - clock.elapsed()) / 1000;
    if (problem)
      log.warn(
        { event: 'registration_problem', code: problem.code, err: problem, nextCheckSeconds: nextSeconds },
        problem.message,
      );
  };
  const { run, idle } = coalesced(async () => {
    if (isClosed) return;
    cancelNext?.();
    const before = apps.map(({ state }) => state.registered);
    await refresh();
    if (await step()) report();
    if (apps.some(({ state }, index) => state.registered !== before[index])) await saveKeys(deps);
    if (isClosed) return;
    const untilDueMs = Math.max(0, dueAt - clock.elapsed());
    const pollMs = connect ? POLL_MS * (0.8 + clock.random() * 0.4) : untilDueMs;
    // If a check is still due, another replica is making it.
    cancelNext = clock.after(untilDueMs === 0 ? pollMs : Math.min(pollMs, untilDueMs), run);
  });

  const reconcile = async () => {
    const at = clock.elapsed();
    wantedAt = at;
    await run();
    while (!isClosed && checkedAt < at) {
      await clock.sleep(WAITING_POLL_MS);
      await run();
    }
  };
  return {
    get clockOffsetSeconds() {
      return shared.clockOffsetSeconds;
    },
    reconcile,
    async follow({ notice, isAbandoned }) {
      const concerned = apps.filter((one) => (notice ? affects(notice, one) : one.state.rotation));
      if (signsWithNew(notice?.phase)) {
        await replace(concerned, notice.to, deps);
        observer.changed(apps, domain.state, shared.clockOffsetSeconds);
        if (concerned.some(({ candidates }) => !candidateWith(candidates, notice.to.spki))) void reconcile();
        return;
      }
      for (const one of concerned) {
        if (notice && missedRotation(notice, one)) one.apply({ type: 'replacing' });
        one.apply(eventOf(notice?.phase, isAbandoned));
      }
      cancelAfterAbandoned?.();
      if (concerned.length > 0 && (isAbandoned || !notice))
        cancelAfterAbandoned = clock.after(clock.random() * ABANDONED_CHECK_MS, reconcile);
    },
    async close() {
      isClosed = true;
      cancelNext?.();
      cancelAfterAbandoned?.();
      await idle();
    },
  };
}

/** The problem that determines when to check again: the one that needs the longest pause. */
function worstProblem({ apps, domain }: WatchDeps): WebdistError | undefined {
  const problems = [...apps, domain].flatMap(({ state }) => state.problem ?? []);
  return problems.find(({ code }) => code === 'asc_rate') ?? problems[0];
}

const pauseSecondsOf = ({ code, retryAfterSeconds }: WebdistError) =>
  retryAfterSeconds ?? (code === 'asc_rate' ? LIMIT_PAUSE_SECONDS : undefined);

async function saveKeys({ apps, store, log }: WatchDeps): Promise<void> {
  const registered = apps.flatMap(({ app, state }) =>
    state.registered ? [[app.appleItemId, state.registered] as const] : [],
  );
  await store
    .save(Object.fromEntries(registered))
    .catch((err) => log.error({ event: 'registration_not_saved', err }, 'cannot store the key id'));
}

/** Signs with the new key from now on, without a check, because the command has verified the registration. */
async function replace(concerned: readonly OwnedRegistration[], to: Notice['to'], deps: WatchDeps): Promise<void> {
  const { clock } = deps;
  // A replica that missed the earlier phases must not sign with the old key while it opens the new key.
  for (const one of concerned) one.apply({ type: 'replacing' });
  await Promise.all(
    concerned.map(async (one) => {
      if (!candidateWith(one.candidates, to.spki)) await refreshAll(one.candidates, to.spki);
      one.apply({ type: 'replaced', keyId: to.keyId ?? '', spki: to.spki, seenAt: isoTime(clock) });
    }),
  );
}

function eventOf(phase: 'announced' | 'switching' | undefined, isAbandoned: boolean): RegistrationEvent {
  if (phase === undefined) return { type: 'withdrawn' };
  return isAbandoned ? { type: 'abandoned', phase } : { type: phase };
}

/** The key id from the settings belongs to the first key that is held. */
function rememberedKey(
  { app, candidates }: OwnedRegistration,
  stored: Readonly<Record<string, RegisteredKey>>,
  clock: Clock,
): RegisteredKey | undefined {
  if (!app.keyId) return stored[app.appleItemId];
  const signer = candidates.find((candidate) => candidate.signer)?.signer;
  return signer && { keyId: app.keyId, spki: spki(signer.publicKey), seenAt: isoTime(clock) };
}

const isoTime = (clock: Clock) => new Date(clock.now()).toISOString();
