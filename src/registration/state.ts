/** What is known of one app's keys and of their registration, and which of the keys signs now. */

import type { KeyObject } from 'node:crypto';
import type { AppConfig } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import { fromSpki, type SigningKey, signingKey, spki } from '../jws.ts';
import type { Candidate } from './candidates.ts';
import type { RegisteredKey } from './store.ts';

/** One app with the keys held for it and what is known of its registration. */
export type AppState = {
  readonly app: AppConfig;
  readonly candidates: readonly Candidate[];
  /** What App Store Connect reported last, in this run or an earlier one. */
  registered: RegisteredKey | undefined;
  /** True once App Store Connect has confirmed it in this run. */
  confirmed: boolean;
  /** Why the latest look did not end well. */
  problem: WebdistError | undefined;
  /** How far a change of the key is; `abandoned`: its command died on the way. */
  rotation: 'announced' | 'switching' | 'abandoned' | undefined;
  /** True while nobody may sign, because the registered key is being changed or was left half changed. */
  paused: boolean;
  /** Grows with the steps of a change: what was asked of App Store Connect before one counts no more after it. */
  steps: number;
};

/** The state of an app of which nothing is known yet. */
export const newAppState = (app: AppConfig, candidates: readonly Candidate[]): AppState => ({
  app,
  candidates,
  registered: undefined,
  confirmed: false,
  problem: undefined,
  rotation: undefined,
  paused: false,
  steps: 0,
});

/** The website's domain at App Store Connect. Not needed for signing, but without it no device installs. */
export type DomainState = { readonly domain: string; confirmed: boolean; problem: WebdistError | undefined };

/** The key that signs for an app now: the candidate whose public half is registered. Throws `not_registered`. */
export function currentKey(state: AppState): SigningKey {
  const { registered } = state;
  if (state.paused)
    throw new WebdistError('not_registered', `The distribution key of ${state.app.bundleId} is being replaced.`, {
      retryAfterSeconds: 1,
    });
  const signer = registered && holderOf(state, registered.spki)?.signer;
  if (!signer)
    throw new WebdistError(
      'not_registered',
      `No distribution key for ${state.app.bundleId} is registered and held here.`,
      {
        retryAfterSeconds: 10,
        cause: state.problem ?? state.candidates.find((one) => one.problem)?.problem,
      },
    );
  return signingKey(signer, registered.keyId);
}

/** Whether a key held here is registered for the app. */
export function canSign(state: AppState): boolean {
  try {
    currentKey(state);
    return true;
  } catch {
    return false;
  }
}

/** The candidate that holds a public half, given as SPKI. */
export const holderOf = ({ candidates }: AppState, spkiBase64: string) =>
  candidates.find((one) => one.signer && spki(one.signer.publicKey) === spkiBase64);

/** Reads and opens the keys of an app again, those with versions at the registered one. */
export async function refreshKeys({ candidates }: AppState, registeredSpki: string | undefined): Promise<void> {
  const registered = registeredSpki === undefined ? undefined : fromSpki(registeredSpki);
  await Promise.all(candidates.map((candidate) => candidate.refresh(registered)));
}

/** The public halves held now, in order of preference. */
export const held = ({ candidates }: AppState): KeyObject[] =>
  candidates.flatMap(({ signer }) => (signer ? [signer.publicKey] : []));
