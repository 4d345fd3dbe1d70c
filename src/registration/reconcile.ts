/**
 * Compares the registration at App Store Connect with the keys held here, and registers what is missing. The outcome is
 * an event for the state.
 */

import type { KeyObject } from 'node:crypto';
import type { Account } from '../app-store-connect/account-view.ts';
import { ensureDomain, ensureKey } from '../app-store-connect/register.ts';
import type { Config } from '../config/config.ts';
import { hasCode, toWebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import type { AppRegistration } from './app-registration.ts';
import { publicHalves, refreshAll } from './candidates.ts';
import type { DomainEvent, DomainState, RegistrationEvent } from './state.ts';

type Settings = Pick<Config, 'keyScope' | 'register'>;

/** Everything that was ever registered (`RegistrationStore.everRegistered`); undefined while it cannot be read. */
type EverRegistered = ReadonlySet<string> | undefined;

/** Converts any failure of a check to a problem. */
export const checkProblem = (error: unknown) =>
  toWebdistError(error, 'internal_error', 'The registration could not be checked.');

/**
 * Checks the key of one app. Returns undefined in the middle of a rotation. `now` returns milliseconds since 1970.
 * Never throws.
 */
export async function reconcileKey(
  registration: AppRegistration,
  asc: Account,
  { settings, ever, now }: { readonly settings: Settings; readonly ever: EverRegistered; readonly now: () => number },
): Promise<RegistrationEvent | undefined> {
  const { candidates } = registration;
  const { rotation, generation } = registration.state;
  if (rotation === 'switching') return undefined;
  if (publicHalves(candidates).length === 0)
    return { type: 'unchecked', problem: candidates.find((candidate) => candidate.problem)?.problem };
  try {
    const { keyId, spki, created } = await ensureHeldKey(registration, asc, { settings, ever });
    return { type: 'confirmed', generation, keyId, spki, created, seenAt: new Date(now()).toISOString() };
  } catch (error) {
    return { type: 'failed', generation, problem: checkProblem(error) };
  }
}

/** Checks the domain of the website. Never throws. */
export async function reconcileDomain(
  { domain, confirmed }: DomainState,
  asc: Account,
  { settings, ever }: { readonly settings: Settings; readonly ever: EverRegistered },
): Promise<DomainEvent> {
  try {
    const mode = !confirmed && mayCreate(domain, settings, ever) ? 'ensure' : 'check';
    const found = await ensureDomain(asc, { domain, referenceName: `webdist ${domain}`, mode });
    return { type: 'confirmed', registeredDomain: found.domain, created: found.created };
  } catch (error) {
    return { type: 'failed', problem: checkProblem(error) };
  }
}

/**
 * If a key was rotated in its backend, the backend may still have the registered version. That version is then opened.
 */
async function ensureHeldKey(
  { app, candidates, state }: AppRegistration,
  asc: Account,
  { settings, ever }: { readonly settings: Settings; readonly ever: EverRegistered },
) {
  const { appleItemId, bundleId } = app;
  const { keyScope } = settings;
  const isMissingOnPurpose = state.confirmed || state.registered || state.rotation;
  const mode = !isMissingOnPurpose && mayCreate(appleItemId, settings, ever) ? 'ensure' : 'check';
  const ensure = () =>
    ensureKey(asc, {
      appleItemId,
      bundleId,
      scope: keyScope,
      mode,
      candidates: registeredFirst(publicHalves(candidates), state.registered?.spki),
    });
  try {
    return await ensure();
  } catch (error) {
    const other = hasCode(error, 'different_key_registered') ? await asc.appKey(appleItemId) : null;
    if (!other?.spki) throw error;
    await refreshAll(candidates, other.spki);
    return ensure();
  }
}

/**
 * The key that signs is preferred while it is registered. During the overlap of a rotation, two keys of the account are
 * registered, and the operator's order would select the old one.
 */
const registeredFirst = (halves: readonly KeyObject[], registered: string | undefined): KeyObject[] =>
  halves.toSorted((a, b) => Number(spki(b) === registered) - Number(spki(a) === registered));

/**
 * Only keys and domains that were never seen registered are created. If one is missing later, someone removed it, or a
 * rotation will add it; a restart must not interfere.
 */
const mayCreate = (name: string, { register }: Settings, ever: EverRegistered) =>
  register === 'ensure' && ever !== undefined && !ever.has(name);
