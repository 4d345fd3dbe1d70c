/**
 * The private halves that a server holds for one app, in the operator's order. The registered one signs; the others are
 * for a rotation. Refreshing them takes over a changed secret, ignores one that is not a key, and stops signing with one
 * that is gone.
 */

import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import type { Environment } from '../environment.ts';
import { hasCode, toWebdistError, type WebdistError } from '../errors.ts';
import { fromSpki, type Signer, spki } from '../jws.ts';
import { isSecretLocator, type OpenOptions, openSecret, openSigner } from '../locators.ts';
import type { SecretSource } from '../secrets/secret-source.ts';
import type { GuardedSigner } from '../signer/guarded.ts';
import { openLocalSigner } from '../signer/local.ts';

/** The key of one locator: a signer, or the problem. A signer with a problem still signs: only the last refresh failed. */
export interface Candidate {
  /** For logs and health, e.g. `file`. */
  readonly backend: string;
  readonly signer: Signer | undefined;
  readonly problem: WebdistError | undefined;
  /** Whether a remote signer failed so often that it is not called for a while. */
  readonly isPaused: boolean;
  /** Reads or opens the key again. One that has versions is pinned to the `registered` public half. Never throws. */
  refresh(registered?: KeyObject): Promise<void>;
  close(): Promise<void>;
}

/** `onChange` is called when a watched secret may have changed. */
export type CandidateOptions = OpenOptions & {
  readonly env: Environment;
  readonly log: Logger;
  readonly onChange?: () => void;
};

/** Opens the key that a locator names. Throws only `config_invalid`; any other failure is the candidate's `problem`. */
export async function openCandidate(locator: string, options: CandidateOptions): Promise<Candidate> {
  const candidate = isSecretLocator(locator)
    ? localCandidate(await openSecret(locator, options.env, options), options)
    : remoteCandidate(locator, options);
  await candidate.refresh();
  if (candidate.problem?.code === 'config_invalid') throw candidate.problem;
  return candidate;
}

/** The candidate that holds the private half of a public half, given as SPKI. */
export const candidateWith = (candidates: readonly Candidate[], spkiBase64: string): Candidate | undefined =>
  candidates.find(({ signer }) => signer && spki(signer.publicKey) === spkiBase64);

/** The public halves that are held, in order of preference. */
export const publicHalves = (candidates: readonly Candidate[]): KeyObject[] =>
  candidates.flatMap(({ signer }) => (signer ? [signer.publicKey] : []));

/** Refreshes all candidates; those with versions are pinned to the registered public half, given as SPKI. */
export async function refreshAll(candidates: readonly Candidate[], registeredSpki: string | undefined): Promise<void> {
  const registered = registeredSpki === undefined ? undefined : fromSpki(registeredSpki);
  await Promise.all(candidates.map((candidate) => candidate.refresh(registered)));
}

/** A key whose private half is read into this process. */
function localCandidate(source: SecretSource, { log, onChange }: CandidateOptions): Candidate {
  const unwatch = onChange && source.watch?.(onChange);
  let text: string | undefined;
  const candidate = {
    backend: source.backend,
    signer: undefined as Signer | undefined,
    problem: undefined as WebdistError | undefined,
    isPaused: false,
    async refresh() {
      try {
        const read = await source.read();
        candidate.problem = undefined;
        if (read === text) return;
        const { signer, repairs } = openLocalSigner(read, source.backend);
        text = read;
        const isOther = candidate.signer && spki(candidate.signer.publicKey) !== spki(signer.publicKey);
        candidate.signer = signer;
        if (repairs.length > 0)
          log.info({ event: 'key_repaired', backend: source.backend, repairs }, 'repaired the key while reading it');
        if (isOther) log.warn({ event: 'key_changed', backend: source.backend }, 'the secret now holds another key');
      } catch (error) {
        candidate.problem = keyProblem(error);
        if (!isGone(candidate.problem)) return;
        candidate.signer = undefined;
        text = undefined;
      }
    },
    async close() {
      unwatch?.();
      await source.close();
    },
  };
  return candidate;
}

/** A key that never leaves its backend. */
function remoteCandidate(locator: string, options: CandidateOptions): Candidate {
  const candidate = {
    backend: locator.slice(0, locator.indexOf(':')),
    signer: undefined as GuardedSigner | undefined,
    problem: undefined as WebdistError | undefined,
    get isPaused() {
      return candidate.signer?.state === 'open';
    },
    async refresh(registered?: KeyObject) {
      try {
        const opened = await openSigner(locator, options.env, { ...options, registered });
        const old = candidate.signer;
        candidate.signer = opened;
        candidate.problem = undefined;
        await old?.close();
      } catch (error) {
        candidate.problem = keyProblem(error);
        if (!isGone(candidate.problem)) return;
        const old = candidate.signer;
        candidate.signer = undefined;
        await old?.close();
      }
    },
    async close() {
      await candidate.signer?.close();
    },
  };
  return candidate;
}

/**
 * If a secret is gone or access to it is denied, the operator removed it: an emergency stop. An unreachable backend, or
 * a secret that is not a key, changes nothing.
 */
const isGone = (problem: WebdistError) => hasCode(problem, 'key_absent', 'key_denied');

const keyProblem = (error: unknown) => toWebdistError(error, 'key_unreachable', 'The key cannot be read.');
