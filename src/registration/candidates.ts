/**
 * The private halves that a server holds for one app, in the operator's order. The registered one signs; the others are
 * for a rotation. A refresh adopts a changed secret, ignores a secret that is not a key, and stops signing with a key
 * that is gone. If a key's backend fails, webdist tries to open the key again until it succeeds.
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
import { type Clock, systemClock } from './clock.ts';
import { coalesced } from './coalesced.ts';
import { nextCheckSeconds } from './next-check.ts';

/**
 * The key of one locator: a signer, or the problem. A signer with a problem still signs; only its last refresh failed.
 */
export interface Candidate {
  /** The name in logs and health, such as `file`. */
  readonly backend: string;
  readonly signer: Signer | undefined;
  readonly problem: WebdistError | undefined;
  /** True if a remote signer probably cannot sign now, because it keeps failing or did not answer the last refresh. */
  readonly isPaused: boolean;
  /** True if a remote signer's backend did not answer the last refresh, and nothing has been signed since. */
  readonly isAway: boolean;
  /**
   * Reads or opens the key again. A key with versions is pinned to the version with the `registered` public half. Never
   * throws.
   */
  refresh(registered?: KeyObject): Promise<void>;
  close(): Promise<void>;
}

export type CandidateOptions = OpenOptions & {
  readonly env: Environment;
  readonly log: Logger;
  /** Called when a watched secret may have changed, or the backend works again. Without it, nothing is watched or retried. */
  readonly onChange?: () => void;
  readonly clock?: Pick<Clock, 'after' | 'random'>;
};

/** The longest pause between attempts to open a key whose backend fails. */
const MAX_RETRY_SECONDS = 60;

/**
 * Opens the key that a locator names. Throws only `config_invalid`. Any other failure becomes the candidate's
 * `problem`.
 */
export async function openCandidate(locator: string, given: CandidateOptions): Promise<Candidate> {
  // The query of a locator can hold a PIN.
  const options = { ...given, log: given.log.child({ locator: locator.replace(/\?.*$/s, '') }) };
  const holder = isSecretLocator(locator)
    ? localHolder(await openSecret(locator, options.env, options), options)
    : remoteHolder(locator, options);
  const candidate = candidateOf(holder, options);
  await candidate.refresh();
  if (candidate.problem?.code === 'config_invalid') throw candidate.problem;
  return candidate;
}

/** Returns the candidate with the private half that belongs to a public half, given as SPKI. */
export const candidateWith = (candidates: readonly Candidate[], spkiBase64: string): Candidate | undefined =>
  candidates.find(({ signer }) => signer && spki(signer.publicKey) === spkiBase64);

/** Returns the public halves of the candidates, in order of preference. */
export const publicHalves = (candidates: readonly Candidate[]): KeyObject[] =>
  candidates.flatMap(({ signer }) => (signer ? [signer.publicKey] : []));

/**
 * Refreshes all candidates. Those with versions are pinned to the version with the registered public half, given as
 * SPKI.
 */
export async function refreshAll(candidates: readonly Candidate[], registeredSpki: string | undefined): Promise<void> {
  const registered = registeredSpki === undefined ? undefined : fromSpki(registeredSpki);
  await Promise.all(candidates.map((candidate) => candidate.refresh(registered)));
}

/** The function that opens a key, and its properties. */
type Holder<S extends Signer> = {
  readonly backend: string;
  /** Opens the key as it is now; returns `current` if it has not changed. Throws `key_*` or `signer_unavailable`. */
  open(current: S | undefined, registered: KeyObject | undefined): Promise<S>;
  isPaused(signer: S): boolean;
  /** When the signer last signed, in `performance.now()`. */
  signedAt(signer: S): number;
  /** What happens to an opened key while it cannot be opened again, for the log. */
  readonly meanwhile: string;
  close(): Promise<void>;
};

function candidateOf<S extends Signer>(holder: Holder<S>, { log, onChange, clock = systemClock }: CandidateOptions) {
  const { backend, meanwhile } = holder;
  let signer: S | undefined;
  let problem: WebdistError | undefined;
  let problemSince: number | undefined;
  let pin: KeyObject | undefined;
  let failures = 0;
  let isOpen = false;
  let isClosed = false;
  let cancelRetry: (() => void) | undefined;

  const adopt = (opened: S | undefined) => {
    // Closing waits for running calls, but no one waits for closing.
    if (signer !== opened) void signer?.close();
    signer = opened;
  };
  const isAway = () =>
    signer !== undefined &&
    problemSince !== undefined &&
    hasCode(problem, 'key_unreachable') &&
    holder.signedAt(signer) < problemSince;
  const { run } = coalesced(async () => {
    cancelRetry?.();
    const before = problem;
    try {
      const opened = await holder.open(signer, pin);
      logRotation(log, opened, signer);
      adopt(opened);
      problem = problemSince = undefined;
    } catch (error) {
      problemSince ??= performance.now();
      problem = toWebdistError(error, 'key_unreachable', 'The key cannot be read.');
      if (isGone(problem)) adopt(undefined);
    }
    if (isClosed) adopt(undefined);
    // The caller of `openCandidate` reports the first outcome.
    if (isOpen) logChange(log, { backend, before, problem, meanwhile: signer ? meanwhile : 'It no longer signs.' });
    isOpen = true;
    failures = problem ? failures + 1 : 0;
    if (problem && onChange && !isClosed && isTransient(problem)) cancelRetry = retryAfter(problem);
  });
  const retryAfter = ({ retryAfterSeconds }: WebdistError) => {
    const { random } = clock;
    const seconds = nextCheckSeconds({ intervalSeconds: MAX_RETRY_SECONDS, failures, retryAfterSeconds, random });
    return clock.after(seconds * 1000, async () => {
      await run();
      if (!problem && !isClosed) onChange?.();
    });
  };
  return {
    backend,
    get signer() {
      return signer;
    },
    get problem() {
      return problem;
    },
    get isPaused() {
      return isAway() || (signer !== undefined && holder.isPaused(signer));
    },
    get isAway() {
      return isAway();
    },
    refresh(registered?: KeyObject) {
      pin = registered;
      return run();
    },
    async close() {
      isClosed = true;
      cancelRetry?.();
      await signer?.close();
      await holder.close();
    },
  };
}

/** Opens a key whose private half is read into this process. */
function localHolder(source: SecretSource, { log, onChange }: CandidateOptions): Holder<Signer> {
  const { backend } = source;
  const unwatch = onChange && source.watch?.(onChange);
  let text: string | undefined;
  return {
    backend,
    async open(current) {
      const read = await source.read();
      if (current && read === text) return current;
      const { signer, repairs } = openLocalSigner(read, backend);
      text = read;
      if (repairs.length > 0)
        log.info({ event: 'key_repaired', backend, repairs }, 'repaired the key while reading it');
      if (current && spki(current.publicKey) !== spki(signer.publicKey))
        log.warn({ event: 'key_changed', backend }, 'the secret now holds another key');
      return signer;
    },
    isPaused: () => false,
    signedAt: () => Number.POSITIVE_INFINITY,
    meanwhile: 'The key as last read still signs, but a restart would fail.',
    async close() {
      unwatch?.();
      await source.close();
    },
  };
}

/** Opens a key that never leaves its backend. */
const remoteHolder = (locator: string, options: CandidateOptions): Holder<GuardedSigner> => ({
  backend: locator.slice(0, locator.indexOf(':')),
  open: (_, registered) => openSigner(locator, options.env, { ...options, registered }),
  isPaused: ({ state }) => state === 'open',
  signedAt: (signer) => signer.signedAt,
  meanwhile: 'The connection opened before is still used.',
  async close() {
    // The holder itself has nothing open: `openCandidate` closes its signer.
  },
});

/**
 * If a secret is gone, or access to it is denied, the operator removed it, so signing stops. An unreachable backend, or
 * a secret that is not a key, changes nothing.
 */
const isGone = (problem: WebdistError) => hasCode(problem, 'key_absent', 'key_denied');

/** True if the problem can pass without a change by the operator. */
const isTransient = (problem: WebdistError) => hasCode(problem, 'key_unreachable', 'signer_unavailable');

/** A new version is not registered at Apple, and the registered one may eventually be removed. Logged once. */
function logRotation(log: Logger, { backend, autoRotation }: Signer, before: Signer | undefined): void {
  if (autoRotation && autoRotation.found !== before?.autoRotation?.found)
    log.warn(
      { event: 'key_rotates_itself', backend, hint: autoRotation.hint },
      `the ${backend} key ${autoRotation.found}, which is not registered at Apple. ${autoRotation.hint}`,
    );
}

type Outcome = {
  readonly backend: string;
  readonly before: WebdistError | undefined;
  readonly problem: WebdistError | undefined;
  readonly meanwhile: string;
};

/** A key that still signs from memory is easily forgotten until a restart, which then fails. */
function logChange(log: Logger, { backend, before, problem, meanwhile }: Outcome): void {
  if (problem?.message === before?.message) return;
  if (!problem) log.info({ event: 'key_readable', backend }, 'the key can be read again');
  else
    log.warn({ event: 'key_unreadable', backend, code: problem.code, err: problem }, `${problem.message} ${meanwhile}`);
}
