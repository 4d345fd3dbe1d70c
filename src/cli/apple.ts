/**
 * App Store Connect for commands: opened with its own settings and nothing else, so that a command about keys needs no
 * app, no ledger and no website.
 */

import { type AppStoreConnect, openAppStoreConnect } from '../app-store-connect/client.ts';
import { appStoreConnectSettings, processEnvironment, processSettings } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { openLog } from '../log.ts';
import { openCandidate } from '../registration/candidates.ts';
import { withProgress } from './terminal.ts';

export type Settings = ReturnType<typeof appStoreConnectSettings>;

/** Opens App Store Connect, does work, closes it. `what` is what a person waits for. Throws as the work and `openKey` do. */
export async function withAppStoreConnect<T>(
  what: string,
  work: (asc: AppStoreConnect, settings: Settings) => Promise<T>,
): Promise<T> {
  const settings = appStoreConnectSettings(processSettings());
  return withKey(settings.privateKey, 'ASC_PRIVATE_KEY', (signer) =>
    withProgress(what, async () => {
      const asc = openAppStoreConnect({ ...settings, signer, log: openLog('silent') });
      try {
        return await work(asc, settings);
      } finally {
        asc.close();
      }
    }),
  );
}

/** Opens the private key a locator names, does work with it, closes it. Throws `key_*` naming `source`, `config_invalid`. */
export async function withKey<T>(locator: string, source: string, work: (signer: Signer) => Promise<T>): Promise<T> {
  const log = openLog('silent');
  const key = await openCandidate(locator, { env: processEnvironment(), log, changed: () => undefined });
  try {
    const { signer, problem } = key;
    if (signer) return await work(signer);
    throw new WebdistError(problem?.code ?? 'key_absent', `${source}: ${problem?.detail ?? 'there is no key.'}`, {
      cause: problem,
      ...(problem?.hint && { hint: problem.hint }),
    });
  } finally {
    await key.close();
  }
}
