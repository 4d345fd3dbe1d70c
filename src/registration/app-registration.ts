/** One app: its settings, the keys held for it, and the state of its registration, which only its owner changes. */

import type { Logger } from 'pino';
import type { AppConfig } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import { type SigningKey, signingKey } from '../jws.ts';
import { type Candidate, candidateWith } from './candidates.ts';
import { initialState, next, type RegistrationEvent, type RegistrationState } from './state.ts';

/** One app as the rest of the service sees it. */
export interface AppRegistration {
  readonly app: AppConfig;
  readonly candidates: readonly Candidate[];
  readonly state: RegistrationState;
  /** Whether a key held here is registered for the app and may sign. */
  readonly canSign: boolean;
  /** True if the backend of that key did not answer the last refresh, and the key has signed nothing since. */
  readonly isAway: boolean;
  /** The candidate whose public half is registered. Throws `not_registered`. */
  currentKey(): SigningKey;
}

/** The same for its owner, the only code that may change the state. */
export interface OwnedRegistration extends AppRegistration {
  /** Applies an event to the state, and logs the change for the operator. */
  apply(event: RegistrationEvent): void;
}

/** Opens an app about whose registration nothing is known yet. */
export function ownRegistration(app: AppConfig, candidates: readonly Candidate[], log: Logger): OwnedRegistration {
  let state = initialState(app.bundleId);
  // Created again only when the registered key or its signer changes, because the encoded header is the same for every
  // token.
  let key: SigningKey | undefined;
  const current = () => state.registered && candidateWith(candidates, state.registered.spki);
  const find = () => current()?.signer;
  return {
    app,
    candidates,
    get state() {
      return state;
    },
    get canSign() {
      return !state.paused && find() !== undefined;
    },
    get isAway() {
      return current()?.isAway ?? false;
    },
    currentKey() {
      if (state.paused)
        throw new WebdistError('not_registered', `The distribution key of ${app.bundleId} is being replaced.`, {
          retryAfterSeconds: 1,
        });
      const signer = find();
      if (!signer || !state.registered) throw nothingRegistered(app, candidates, state);
      const { keyId } = state.registered;
      if (key?.signer !== signer || key.keyId !== keyId) key = signingKey(signer, keyId);
      return key;
    },
    apply(event) {
      const before = state;
      state = next(before, event);
      if (state !== before) logChange(before, state, event, log);
    },
  };
}

const nothingRegistered = (app: AppConfig, candidates: readonly Candidate[], state: RegistrationState) =>
  new WebdistError('not_registered', `No distribution key for ${app.bundleId} is both registered and held here.`, {
    retryAfterSeconds: 10,
    cause: state.problem ?? candidates.find((candidate) => candidate.problem)?.problem,
  });

function logChange(before: RegistrationState, after: RegistrationState, event: RegistrationEvent, log: Logger): void {
  const { bundleId } = after;
  const isConfirmed = event.type === 'confirmed' || (event.type === 'reported' && after.confirmed);
  if (isConfirmed && after.registered && !(before.confirmed && before.registered?.keyId === after.registered.keyId))
    log.info(
      {
        event: 'key_registered',
        bundleId,
        keyId: after.registered.keyId,
        created: event.type === 'confirmed' && event.created,
      },
      'the distribution key is registered',
    );
  if (event.type === 'replaced')
    log.info({ event: 'key_rotated', bundleId, keyId: event.keyId }, 'the distribution key was replaced');
  if (before.registered && !after.registered)
    log.error(
      { event: 'registration_drift', bundleId, keyId: before.registered.keyId, err: after.problem },
      'stopped signing: the registered key is not the one held here',
    );
}
