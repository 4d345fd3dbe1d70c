/** Opens webdist's own authorization server for devices, if it is configured. Its libraries are loaded only then. */

import type { Config } from '../config/config.ts';
import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import type { SharedRedis } from './redis.ts';

type Deps = {
  /** 32 bytes that encrypt the tokens that devices carry from a link to their requests. */
  readonly key: Buffer;
  /** The shared memory of used codes; if undefined, each replica remembers only its own. */
  readonly redis: SharedRedis | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
};

/** Undefined unless the settings choose webdist's own OAuth. */
export async function openAuthorization(
  settings: Config['deviceSide']['oauth'],
  { key, redis, now }: Deps,
): Promise<AuthorizationServer | undefined> {
  if (settings?.kind !== 'own') return undefined;
  const { openAuthorizationServer } = await import('../oauth/authorization-server.ts');
  const { openSeals } = await import('../oauth/sealed.ts');
  const { openUsedOnce } = await import('../oauth/used-once.ts');
  return openAuthorizationServer({
    seals: openSeals(key, now),
    usedOnce: openUsedOnce(redis, now),
    // A separate memory: refresh tokens live so much longer than codes that they would displace them.
    refreshedOnce: openUsedOnce(redis, now),
    now,
    loginUrl: settings.loginUrl,
  });
}
