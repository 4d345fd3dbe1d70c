/**
 * Keeps one question answered for every app: under which key id may this server sign now? Asks App Store Connect at
 * start-up and again in the background (docs/apple-facts.md §4.11), remembers the answer over restarts, and stops signing when
 * what is registered is not what is held. Only the first look may create something: what is removed later was removed
 * by a person. While `webdist keys rotate` changes a key, its notice is followed instead (docs/rotation.md).
 */

import type { Logger } from 'pino';
import type { WebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import { traced } from '../tracing/tracing.ts';
import { lookAtApple, type RegistrationParts } from './reconcile.ts';
import type { Notice } from './rotation/notice.ts';
import type { Seen } from './rotation/watch.ts';
import { type AppState, type DomainState, holderOf, refreshKeys } from './state.ts';
import type { RegisteredKey } from './store.ts';

/** A running watch over the registration. */
export interface Registration {
  /** Looks now; resolves when that look is over. Never throws: the outcome is in the states. */
  look(): Promise<void>;
  /** Takes what the notice of a change says. */
  follow(seen: Seen): Promise<void>;
  close(): Promise<void>;
}

/** Replicas that notice at the same moment that a change was abandoned look within this time, each at its own moment. */
const ABANDONED_LOOK_MS = 2000;

/** Starts with what is remembered, then looks in the background until `close`. */
export async function watchRegistration(parts: RegistrationParts): Promise<Registration> {
  const { config, apps, domain, log } = parts;
  const remembered = await parts.memory.load();
  for (const state of apps) state.registered = rememberedFor(state, remembered);

  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let soon: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again: Promise<void> | undefined;
  let closed = false;

  const lookOnce = async () => {
    clearTimeout(timer);
    await Promise.all(apps.map((state) => refreshKeys(state, state.registered?.spki)));
    const { connect } = parts;
    if (connect) await traced(parts.tracing, 'registration look', () => lookAtApple(parts, connect));
    else for (const state of apps) state.paused = state.rotation === 'switching';
    const problem = worst(apps, domain);
    failures = problem ? failures + 1 : 0;
    parts.looked?.();
    if (closed) return;
    const seconds = delaySeconds(config.registerIntervalSeconds, failures, problem?.retryAfterSeconds);
    if (problem)
      log.warn(
        { event: 'registration_problem', code: problem.code, err: problem, nextLookSeconds: seconds },
        problem.message,
      );
    timer = setTimeout(look, seconds * 1000).unref();
  };
  // A look that is asked for during a look starts after it, once: what changed meanwhile must be seen.
  const look = (): Promise<void> => {
    if (!running) {
      running = lookOnce().finally(() => {
        running = undefined;
      });
      return running;
    }
    again ??= running.then(() => {
      again = undefined;
      return look();
    });
    return again;
  };
  const follow = async ({ notice, abandoned }: Seen) => {
    const concerned = apps.filter((state) => (notice ? concerns(notice, state) : state.rotation));
    if (notice?.phase === 'done') {
      // Also one that has seen nothing of the change until now must not sign with the old key while it opens the new.
      for (const state of concerned) state.paused = true;
      await Promise.all(concerned.map((state) => adopt(state, notice.to, log)));
      parts.looked?.();
      if (concerned.some((state) => !holderOf(state, notice.to.spki))) void look();
      return;
    }
    for (const state of concerned) {
      const wasUntouched = !state.paused && notice?.phase === 'announced';
      state.rotation = !abandoned ? notice?.phase : wasUntouched ? undefined : 'abandoned';
      if (wasUntouched) continue;
      state.steps += 1;
      if (state.rotation === 'switching') state.paused = true;
    }
    clearTimeout(soon);
    if (concerned.length > 0 && (abandoned || !notice))
      soon = setTimeout(look, Math.random() * ABANDONED_LOOK_MS).unref();
  };
  return {
    look,
    follow,
    async close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(soon);
      await running;
    },
  };
}

const concerns = ({ appleItemIds, scope, from }: Notice, { app, registered }: AppState) =>
  appleItemIds.includes(app.appleItemId) || (scope === 'account' && registered && registered.spki === from?.spki);

/** Signs from now on with the key that was put in the place of another; nobody needs to ask Apple for that. */
async function adopt(state: AppState, { spki, keyId = '' }: Notice['to'], log: Logger): Promise<void> {
  if (!holderOf(state, spki)) await refreshKeys(state, spki);
  state.steps += 1;
  state.registered = { keyId, spki, seenAt: new Date().toISOString() };
  state.confirmed = true;
  state.problem = undefined;
  state.rotation = undefined;
  state.paused = false;
  log.info({ event: 'key_rotated', bundleId: state.app.bundleId, keyId }, 'the distribution key was replaced');
}

function rememberedFor(
  { app, candidates }: AppState,
  keys: Readonly<Record<string, RegisteredKey>>,
): RegisteredKey | undefined {
  if (!app.keyId) return keys[app.appleItemId];
  const signer = candidates.find((one) => one.signer)?.signer;
  return signer && { keyId: app.keyId, spki: spki(signer.publicKey), seenAt: new Date().toISOString() };
}

const worst = (apps: readonly AppState[], domain: DomainState): WebdistError | undefined =>
  [...apps.map((state) => state.problem), domain.problem].find((problem) => problem !== undefined);

/** After so many failures (a quarter of an hour) whatever it is waits for a person, and Apple's hourly limit is shared. */
const FAILURES_UNTIL_PATIENT = 20;

/**
 * Jittered, so that replicas do not come together: the whole interval ±20 % when all is well, else from a second up to a
 * minute, in the end up to the interval, and never before what Apple asked for.
 */
function delaySeconds(intervalSeconds: number, failures: number, retryAfterSeconds = 0): number {
  if (failures === 0) return intervalSeconds * (0.8 + Math.random() * 0.4);
  const longest = failures > FAILURES_UNTIL_PATIENT ? intervalSeconds : Math.min(60, intervalSeconds);
  const backoff = Math.min(longest, 2 ** Math.min(failures - 1, 16));
  return Math.max(backoff * (0.5 + Math.random() * 0.5), Math.min(retryAfterSeconds, 600) * (1 + Math.random() * 0.2));
}
