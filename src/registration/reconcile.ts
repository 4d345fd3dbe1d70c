/**
 * One look at App Store Connect: is the key of every app registered, and the domain? Writes the answer into the
 * states, and remembers it.
 */

import type { Logger } from 'pino';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import { ensureDomain, ensureKey } from '../app-store-connect/register.ts';
import type { Config } from '../config/config.ts';
import { hasCode, toWebdistError, WebdistError } from '../errors.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { type AppState, type DomainState, held, refreshKeys } from './state.ts';
import type { Memory } from './store.ts';

/** What a look works with. */
export type RegistrationParts = {
  readonly config: Pick<Config, 'domain' | 'keyScope' | 'register' | 'registerIntervalSeconds'>;
  readonly apps: readonly AppState[];
  readonly domain: DomainState;
  /** App Store Connect, or undefined with `WEBDIST_REGISTER=off`. Throws when its API key cannot be had. */
  readonly connect: (() => Promise<AppStoreConnect>) | undefined;
  readonly memory: Memory;
  readonly log: Logger;
  /** Called after each look. */
  readonly looked?: () => void;
  readonly tracing?: Tracing | undefined;
};

/** After a definite answer of App Store Connect nothing is signed under the old key id any more. */
const isDefinite = (error: WebdistError) => hasCode(error, 'different_key_registered', 'registration_missing');

/** Looks; what goes wrong becomes the `problem` of the app or the domain. Never throws. */
export async function lookAtApple(parts: RegistrationParts, connect: () => Promise<AppStoreConnect>): Promise<void> {
  const { config, apps, domain, memory, log } = parts;
  const before = JSON.stringify(apps.map((state) => state.registered));
  let asc: AppStoreConnect;
  try {
    asc = await connect();
  } catch (error) {
    for (const state of [...apps, domain]) state.problem = asProblem(error);
    return;
  }
  for (const state of apps) await lookAtKey(state, asc, parts);
  try {
    const mode = domain.confirmed ? 'check' : modeOf(config.register);
    const found = await ensureDomain(asc, { domain: domain.domain, referenceName: `webdist ${domain.domain}`, mode });
    if (found.created)
      log.info({ event: 'domain_registered', domain: found.domain }, 'registered the domain with App Store Connect');
    domain.confirmed = true;
    domain.problem = undefined;
  } catch (error) {
    domain.problem = asProblem(error);
  }
  if (JSON.stringify(apps.map((state) => state.registered)) === before) return;
  const entries = apps.flatMap(({ app, registered }) => (registered ? [[app.appleItemId, registered] as const] : []));
  await memory
    .save(Object.fromEntries(entries))
    .catch((err) => log.error({ event: 'memory_not_saved', err }, 'cannot remember the key id'));
}

async function lookAtKey(state: AppState, asc: AppStoreConnect, { config, log }: RegistrationParts): Promise<void> {
  const {
    registered,
    steps,
    app: { bundleId },
  } = state;
  if (state.rotation === 'switching') return;
  if (held(state).length === 0) {
    state.problem = state.candidates.find((one) => one.problem)?.problem;
    return;
  }
  try {
    const found = await ensureHeld(state, asc, config);
    if (state.steps !== steps) return;
    if (found.keyId !== registered?.keyId || found.spki !== registered.spki)
      state.registered = { keyId: found.keyId, spki: found.spki, seenAt: new Date().toISOString() };
    if (!state.confirmed || found.keyId !== registered?.keyId)
      log.info(
        { event: 'key_registered', bundleId, keyId: found.keyId, created: found.created },
        'the distribution key is registered',
      );
    state.confirmed = true;
    state.problem = state.rotation === 'abandoned' ? unfinished(bundleId) : undefined;
    state.paused = false;
  } catch (error) {
    const problem = asProblem(error);
    if (state.steps !== steps) return;
    state.problem = problem;
    if (!isDefinite(problem)) return;
    state.paused = false;
    if (registered)
      log.error(
        { event: 'registration_drift', bundleId, keyId: registered.keyId, err: problem },
        'stopped signing: the registered key is not the one held here',
      );
    state.registered = undefined;
  }
}

/** A key that was rotated where it lives may still have the version that is registered: then that one is opened. */
async function ensureHeld(state: AppState, asc: AppStoreConnect, config: RegistrationParts['config']) {
  const { appleItemId, bundleId } = state.app;
  // What is missing in the middle of a change is for its command to add.
  const mode = state.confirmed || state.rotation ? 'check' : modeOf(config.register);
  const ensure = () => ensureKey(asc, { appleItemId, bundleId, scope: config.keyScope, mode, candidates: held(state) });
  try {
    return await ensure();
  } catch (error) {
    const other = hasCode(error, 'different_key_registered') ? await asc.appKey(appleItemId) : null;
    if (!other?.spki) throw error;
    await refreshKeys(state, other.spki);
    return ensure();
  }
}

const modeOf = (register: Config['register']) => (register === 'ensure' ? 'ensure' : 'check');

const unfinished = (bundleId: string) =>
  new WebdistError('rotation_unfinished', `The change of the distribution key of ${bundleId} was not finished.`, {
    hint: 'Run `webdist keys rotate` again as before, or with --rollback.',
  });

const asProblem = (error: unknown) => toWebdistError(error, 'internal_error', 'The registration check failed.');
