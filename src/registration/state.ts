/**
 * The known state of the registration of one app's key, as a frozen value. Every change is an event: `next(state,
 * event)` returns the new state, and has no side effects. The state of the website's domain works in the same way.
 */

import { hasCode, WebdistError } from '../errors.ts';

/** A key that App Store Connect reported as registered for an app. */
export type RegisteredKey = {
  readonly keyId: string;
  /** SubjectPublicKeyInfo DER, base64. */
  readonly spki: string;
  /** When this id was first seen, ISO 8601. */
  readonly seenAt: string;
};

export type RegistrationState = {
  readonly bundleId: string;
  /** The key that was last reported as registered, in this run or an earlier one. */
  readonly registered: RegisteredKey | undefined;
  /** True once App Store Connect has reported it in this run. */
  readonly confirmed: boolean;
  /** Why the last check failed, or the problem that it found. */
  readonly problem: WebdistError | undefined;
  /** The phase of a rotation in progress. `abandoned` means that its command died before the end. */
  readonly rotation: 'announced' | 'switching' | 'abandoned' | undefined;
  /** True while signing must pause, because the registered key is being replaced or the replacement is unfinished. */
  readonly paused: boolean;
  /**
   * Grows with each step of a rotation. A response of App Store Connect counts only in the generation in which its
   * request was sent.
   */
  readonly generation: number;
};

export type RegistrationEvent =
  /** At start-up, the key is known from an earlier run or from the settings. */
  | { readonly type: 'remembered'; readonly key: RegisteredKey | undefined }
  /** A check found that a key held here is registered. `created`: this check registered it. */
  | ({ readonly type: 'confirmed'; readonly generation: number; readonly created: boolean } & RegisteredKey)
  /** A check failed, or found that no key held here is registered. */
  | { readonly type: 'failed'; readonly generation: number; readonly problem: WebdistError }
  /** What another replica with the same keys knew after its check. */
  | ({ readonly type: 'reported' } & Pick<RegistrationState, 'registered' | 'confirmed' | 'paused' | 'problem'>)
  /** No request could be made to App Store Connect, for this reason. */
  | { readonly type: 'unchecked'; readonly problem: WebdistError | undefined }
  /** Checks are off: `WEBDIST_REGISTER=off`. */
  | { readonly type: 'skipped' }
  /** A rotation will begin; the old key still signs. */
  | { readonly type: 'announced' }
  /** The registered key is being changed at this moment. */
  | { readonly type: 'switching' }
  /** The command that rotates died in this phase. */
  | { readonly type: 'abandoned'; readonly phase: 'announced' | 'switching' }
  /** The notice of the rotation is gone. */
  | { readonly type: 'withdrawn' }
  /** The rotation is done; the new key is not opened yet. */
  | { readonly type: 'replacing' }
  /** The rotation is done; this key signs from now on. */
  | ({ readonly type: 'replaced' } & RegisteredKey);

/** The state of an app about which nothing is known yet. */
export const initialState = (bundleId: string): RegistrationState =>
  Object.freeze({
    bundleId,
    registered: undefined,
    confirmed: false,
    problem: undefined,
    rotation: undefined,
    paused: false,
    generation: 0,
  });

/**
 * Returns the state after an event. Returns the same object if the event changes nothing, for example a stale response.
 */
export function next(state: RegistrationState, event: RegistrationEvent): RegistrationState {
  const changes = changesOf(state, event);
  return changes ? Object.freeze({ ...state, ...changes }) : state;
}

function changesOf(state: RegistrationState, event: RegistrationEvent): Partial<RegistrationState> | undefined {
  const { rotation, paused, registered } = state;
  const generation = state.generation + 1;
  switch (event.type) {
    case 'remembered':
      return { registered: event.key };
    case 'confirmed': {
      if (isStale(state, event)) return undefined;
      const problem = rotation === 'abandoned' ? unfinished(state) : undefined;
      return { registered: sameOr(registered, event), confirmed: true, problem, paused: false };
    }
    case 'reported':
      if (rotation === 'switching') return undefined;
      return {
        registered: event.registered && sameOr(registered, event.registered),
        confirmed: state.confirmed || event.confirmed,
        problem: event.problem,
        paused: paused && event.paused,
      };
    case 'failed':
      if (isStale(state, event)) return undefined;
      return isDefinite(event.problem)
        ? { problem: event.problem, registered: undefined, paused: false }
        : { problem: event.problem };
    case 'unchecked':
      return { problem: event.problem };
    case 'skipped':
      return { paused: rotation === 'switching' };
    case 'announced':
      return paused ? { rotation: 'announced', generation } : { rotation: 'announced' };
    case 'switching':
      return { rotation: 'switching', paused: true, generation };
    case 'abandoned':
      // Nothing was changed at Apple before the pause.
      return event.phase === 'announced' && !paused ? { rotation: undefined } : { rotation: 'abandoned', generation };
    case 'withdrawn':
      return { rotation: undefined, generation };
    case 'replacing':
      return { paused: true, generation };
    case 'replaced':
      return {
        registered: keyOf(event),
        confirmed: true,
        problem: undefined,
        rotation: undefined,
        paused: false,
        generation,
      };
  }
}

/** The request was sent before the last step of a rotation, or in the middle of a step. */
const isStale = (state: RegistrationState, event: { readonly generation: number }) =>
  event.generation !== state.generation || state.rotation === 'switching';

/**
 * After these problems, nothing is signed under the old key id. After any other failure, the last known key still
 * counts.
 */
const isDefinite = (problem: WebdistError) =>
  // `config_invalid`: the app has another AppleItemID now.
  hasCode(problem, 'different_key_registered', 'registration_missing', 'config_invalid');

/** Returns the known key if it is the same one, to keep the time at which it was first seen. */
const sameOr = (known: RegisteredKey | undefined, key: RegisteredKey): RegisteredKey =>
  known && key.keyId === known.keyId && key.spki === known.spki ? known : keyOf(key);

const keyOf = ({ keyId, spki, seenAt }: RegisteredKey): RegisteredKey => Object.freeze({ keyId, spki, seenAt });

const unfinished = ({ bundleId }: RegistrationState) =>
  new WebdistError('rotation_unfinished', `The rotation of the distribution key of ${bundleId} was not finished.`, {
    hint: 'Run the same `webdist keys rotate` command again, or run it with --rollback.',
  });

/**
 * The website's domain at App Store Connect. Signing does not need it, but devices install only from a registered
 * domain.
 */
export type DomainState = {
  readonly domain: string;
  /** True once App Store Connect has reported it in this run. */
  readonly confirmed: boolean;
  /** Why the last check failed, or the problem that it found. */
  readonly problem: WebdistError | undefined;
};

export type DomainEvent =
  /** A check found that the domain or a parent, named here, is registered. `created`: this check registered it. */
  | { readonly type: 'confirmed'; readonly registeredDomain: string; readonly created: boolean }
  /** A check failed, or found that the domain is not registered. */
  | { readonly type: 'failed'; readonly problem: WebdistError }
  /** What another replica knew after its check. */
  | ({ readonly type: 'reported' } & Pick<DomainState, 'confirmed' | 'problem'>);

/** The state of a domain about which nothing is known yet. */
export const initialDomainState = (domain: string): DomainState =>
  Object.freeze({ domain, confirmed: false, problem: undefined });

/** Returns the state after an event. */
export function nextDomain(state: DomainState, event: DomainEvent): DomainState {
  const confirmed = state.confirmed || event.type === 'confirmed' || (event.type === 'reported' && event.confirmed);
  return Object.freeze({ ...state, confirmed, problem: event.type === 'confirmed' ? undefined : event.problem });
}
