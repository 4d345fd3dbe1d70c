/** Stops the start if a key has a problem that does not pass by itself. */

import type { Logger } from 'pino';
import { appleKeyFile } from '../app-store-connect/key-file-name.ts';
import type { AppConfig } from '../config/config.ts';
import { about, hasCode, WebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import type { Candidate } from './candidates.ts';

type AppKeys = { readonly app: AppConfig; readonly candidates: readonly Candidate[] };

/** What messages call the distribution key of an app. */
export const distributionKeyOf = ({ bundleId, keyVariable }: Pick<AppConfig, 'bundleId' | 'keyVariable'>): string =>
  `The distribution key of ${bundleId} (${keyVariable})`;

/** Throws `key_invalid` if a locator names a file with a name that Apple gives to its own keys. */
export function refuseAppleKeyFiles(app: AppConfig): void {
  for (const locator of app.key)
    if (appleKeyFile(locator))
      throw new WebdistError(
        'key_invalid',
        `${distributionKeyOf(app)} has the file name of a key that Apple made, such as an App Store Connect API key.`,
        { hint: 'Use your own distribution key (create one with `webdist keygen`); if this is it, rename the file.' },
      );
}

/**
 * Throws `key_invalid` for an invalid candidate. Throws `key_*` if no candidate is usable or can become usable by
 * itself. One usable candidate is enough, because the other locators may be for a later rotation.
 */
export function refuseUnusableKeys({ app, candidates }: AppKeys, log: Logger): void {
  for (const { problem } of candidates) {
    if (problem?.code === 'key_invalid') throw about(distributionKeyOf(app), problem);
    if (problem) log.warn({ event: 'key_not_held', bundleId: app.bundleId, err: problem }, problem.message);
  }
  const problems = candidates.flatMap(({ signer, problem }) => (signer || !problem ? [] : [problem]));
  const [first] = problems;
  if (first && problems.length === candidates.length && problems.every(isPermanent))
    throw about(distributionKeyOf(app), first);
}

/**
 * Throws `key_*` if the App Store Connect API key is unusable and cannot become usable by itself. `variable` is the one
 * that gave the key.
 */
export function refuseUnusableApiKey({ problem }: Candidate, variable: string): void {
  if (problem && isPermanent(problem)) throw about(variable, problem);
}

/** Throws `key_invalid` if the App Store Connect API key is also an app's distribution key. */
export function refuseSameKey(apiKey: Candidate, apps: readonly AppKeys[]): void {
  const api = apiKey.signer && spki(apiKey.signer.publicKey);
  for (const { app, candidates } of apps)
    if (candidates.some(({ signer }) => signer && spki(signer.publicKey) === api))
      throw new WebdistError('key_invalid', `${distributionKeyOf(app)} is the App Store Connect API key.`, {
        hint: 'Create a distribution key with `webdist keygen`, and use the .p8 for ASC_PRIVATE_KEY only.',
      });
}

const isPermanent = (problem: WebdistError) => hasCode(problem, 'key_invalid', 'key_absent', 'key_denied');
