/** Opens App Store Connect for commands. They need only the ASC_* settings: no app, no ledger and no website. */

import { type AppStoreConnect, openAppStoreConnect } from '../app-store-connect/client.ts';
import { appStoreConnectSettings, processEnvironment, processSettings } from '../config/config.ts';
import { readSettings } from '../config/read.ts';
import type { Environment } from '../environment.ts';
import { about, WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { openLog } from '../log.ts';
import { openCandidate } from '../registration/candidates.ts';
import { type ShowProgress, withProgress } from './terminal.ts';

type AscSettings = ReturnType<typeof appStoreConnectSettings>;
type Work<T> = (asc: AppStoreConnect, settings: AscSettings, show: ShowProgress) => Promise<T>;

/**
 * Opens App Store Connect, runs `work`, and closes it. `what` describes the work to the user. `env` has the settings, if
 * they are not those of this process. Throws what `work` and `withKey` throw.
 */
export async function withAppStoreConnect<T>(what: string, work: Work<T>, env?: Environment): Promise<T> {
  const settings = appStoreConnectSettings(env ? readSettings(env) : processSettings());
  const use = (signer: Signer) =>
    withProgress(what, async (show) => {
      const asc = openAppStoreConnect({ ...settings, signer, log: openLog('silent') });
      try {
        return await work(asc, settings, show);
      } finally {
        asc.close();
      }
    });
  return withKey(settings.privateKey, settings.privateKeyVariable, use, env);
}

/** Opens a private key, runs `work`, and closes the key. Throws `config_invalid` and `key_*`, with `source` in the message. */
export async function withKey<T>(
  locator: string,
  source: string,
  work: (signer: Signer) => Promise<T>,
  env: Environment = processEnvironment(),
): Promise<T> {
  const key = await openCandidate(locator, { env, log: openLog('silent') }).catch((error) => {
    throw about(source, error);
  });
  try {
    if (key.signer) return await work(key.signer);
    throw about(source, key.problem ?? new WebdistError('key_absent', 'there is no key.'));
  } finally {
    await key.close();
  }
}
