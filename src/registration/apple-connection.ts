/** The connection to App Store Connect with the current API key. */

import type { Logger } from 'pino';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import type { Candidate } from './candidates.ts';
import type { Clock } from './clock.ts';
import type { RegistrationObserver } from './observer.ts';

export interface AppleConnection {
  /** App Store Connect's clock minus this machine's, in seconds; undefined before the first response. */
  readonly clockOffsetSeconds: number | undefined;
  /** Returns the client, and opens a new one if the API key has changed. Throws `key_*` if the key cannot be read. */
  connect(): Promise<AppStoreConnect>;
  /** Aborts requests in flight. Does not close the API key, which belongs to the caller. */
  close(): void;
}

/** Sends nothing yet. */
export function openAppleConnection(
  { baseUrl, keyId, issuerId }: NonNullable<Config['appStoreConnect']>,
  deps: {
    readonly apiKey: Candidate;
    readonly observer: Pick<RegistrationObserver, 'attempted'>;
    readonly log: Logger;
    readonly clock: Pick<Clock, 'now' | 'timeOriginMs'>;
  },
): AppleConnection {
  const { apiKey, observer, log, clock } = deps;
  let asc: AppStoreConnect | undefined;
  let openedWith: Signer | undefined;
  return {
    get clockOffsetSeconds() {
      return asc?.clockOffsetSeconds;
    },
    async connect() {
      // Loaded late, so that a server listens without waiting for these libraries; the first check comes after that.
      const { openAppStoreConnect } = await import('../app-store-connect/client.ts');
      await apiKey.refresh();
      const { signer, problem } = apiKey;
      if (!signer) throw problem ?? new WebdistError('key_absent', 'There is no App Store Connect API key.');
      if (asc && openedWith === signer) return asc;
      asc?.close();
      const opened = openAppStoreConnect({
        baseUrl,
        keyId,
        issuerId,
        signer,
        log,
        now: clock.now,
        timeOriginMs: clock.timeOriginMs,
        onAttempt: (attempt) => observer.attempted(attempt, opened),
      });
      asc = opened;
      openedWith = signer;
      return opened;
    },
    close: () => asc?.close(),
  };
}
