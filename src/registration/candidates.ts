/**
 * The private halves a server holds open for one app, in the operator's order. One of them is registered and signs;
 * the others wait for a rotation. Looks again on demand: a changed secret is taken over, garbage is not, a secret that
 * is gone stops signing.
 */

import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import type { Environment } from '../environment.ts';
import { hasCode, toWebdistError, type WebdistError } from '../errors.ts';
import { type Signer, spki } from '../jws.ts';
import { isSecretLocator, openSecret, openSigner } from '../locators.ts';
import type { SecretSource } from '../secrets/secret-source.ts';
import type { GuardedSigner } from '../signer/guarded.ts';
import { openLocalSigner } from '../signer/local.ts';

/** One locator's key: held, or the reason why it is not. A problem beside a signer says that the newest look failed. */
export interface Candidate {
  /** For logs and health, e.g. `file`. */
  readonly backend: string;
  readonly signer: Signer | undefined;
  readonly problem: WebdistError | undefined;
  /** Whether a signer elsewhere fails so much that it is not asked for a while. */
  readonly isPaused: boolean;
  /** Reads or opens again; a key with versions is pinned to the one with the `registered` public half. Never throws. */
  refresh(registered?: KeyObject): Promise<void>;
  close(): Promise<void>;
}

/** What opening needs beside the locator. `changed` is called when a watched secret may have changed. */
export type CandidateOptions = { readonly env: Environment; readonly log: Logger; readonly changed: () => void };

/** Opens what a locator names. Throws only `config_invalid`; everything else is the candidate's `problem`. */
export async function openCandidate(locator: string, options: CandidateOptions): Promise<Candidate> {
  const candidate = isSecretLocator(locator)
    ? heldHere(await openSecret(locator, options.env), options)
    : heldThere(locator, options);
  await candidate.refresh();
  if (candidate.problem?.code === 'config_invalid') throw candidate.problem;
  return candidate;
}

function heldHere(source: SecretSource, { log, changed }: CandidateOptions): Candidate {
  const unwatch = source.watch?.(changed);
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
        if (isOther) log.warn({ event: 'key_changed', backend: source.backend }, 'the secret holds another key now');
      } catch (error) {
        candidate.problem = asProblem(error);
        // Garbage or an unreachable backend changes nothing; a secret taken away is the operator's emergency stop.
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

function heldThere(locator: string, { env }: CandidateOptions): Candidate {
  const candidate = {
    backend: locator.slice(0, locator.indexOf(':')),
    signer: undefined as GuardedSigner | undefined,
    problem: undefined as WebdistError | undefined,
    get isPaused() {
      return candidate.signer?.state === 'open';
    },
    async refresh(registered?: KeyObject) {
      try {
        const opened = await openSigner(locator, env, registered);
        const old = candidate.signer;
        candidate.signer = opened;
        candidate.problem = undefined;
        await old?.close();
      } catch (error) {
        candidate.problem = asProblem(error);
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

const isGone = (problem: WebdistError) => hasCode(problem, 'key_absent', 'key_denied');

const asProblem = (error: unknown) => toWebdistError(error, 'key_unreachable', 'The key cannot be read.');
