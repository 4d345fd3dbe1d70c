/** What is kept: the data folder, what it remembers, the ledger and Redis. Opens nothing that is not there yet. */

import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isWebdistError } from '../errors.ts';
import { ledgerBackend, openLedger } from '../ledger/ledger.ts';
import { openFileMemory } from '../registration/store.ts';
import { type Check, fail, info, ok, warn, worstOf } from './check.ts';

const PING_MS = 3000;

export const stateChecks: readonly Check[] = [
  {
    id: 'data-folder',
    section: 'private',
    why: 'The ledger, its secret and the remembered key id live there, over restarts.',
    look({ config }) {
      if (!config) return undefined;
      const { dataDir } = config;
      if (!existsSync(dataDir)) return info(`${dataDir} is made at the first start`);
      const { mode } = statSync(dataDir);
      try {
        accessSync(dataDir, constants.W_OK | constants.X_OK);
      } catch {
        // Whatever the reason, the hint is the same.
        return fail(`${dataDir} cannot be written`, `chown it to the user of the service: chown webdist ${dataDir}`);
      }
      return mode & 0o007
        ? warn(`${dataDir} has mode ${(mode & 0o777).toString(8)}`, `chmod 700 ${dataDir}`)
        : ok(`${dataDir}, mode ${(mode & 0o777).toString(8)}`);
    },
  },
  {
    id: 'memory',
    section: 'private',
    why: 'With the remembered key id the service starts and signs while Apple is down.',
    async look({ config, apple }) {
      if (!config) return undefined;
      try {
        const remembered = await openFileMemory(config.dataDir).load();
        const said = await apple();
        return worstOf(
          config.apps.map(({ bundleId, appleItemId }) => {
            const [known, own] = [remembered[appleItemId], said?.appKeys.get(appleItemId)];
            if (!known) return info(`nothing is remembered for ${bundleId} yet`);
            return own && own.id !== known.keyId && own.spki === known.spki
              ? warn(
                  `${bundleId} is remembered as ${known.keyId}, registered is ${own.id}`,
                  'Send the service SIGHUP, or restart it.',
                )
              : ok(`${bundleId}: ${known.keyId}, seen ${known.seenAt}`);
          }),
        );
      } catch (error) {
        if (!isWebdistError(error)) throw error;
        return fail(error.detail, error.hint);
      }
    },
  },
  {
    id: 'ledger-kind',
    section: 'private',
    why: 'Only a ledger that lasts can tell a first install from a later one, which advertisers are told.',
    look({ config }) {
      if (!config) return undefined;
      const { url } = config.ledger;
      const backend = ledgerBackend(url);
      if (!backend.isOn) return warn('WEBDIST_LEDGER=off: every dtype is a guess', 'Leave WEBDIST_LEDGER out.');
      return backend.isDurable
        ? ok(backend.name)
        : warn('WEBDIST_LEDGER=memory: forgets everything at a restart', 'Leave WEBDIST_LEDGER out, for SQLite.');
    },
  },
  {
    id: 'ledger',
    section: 'private',
    why: 'A ledger that does not answer makes every install a redownload, or none at all.',
    async look({ config }) {
      if (!config) return undefined;
      const { url, evidence, retentionDays } = config.ledger;
      const backend = ledgerBackend(url);
      if (!backend.isDurable) return undefined;
      const path = backend.fileOf?.(url);
      if (path !== undefined && !existsSync(path)) return info(`${path} is made at the first start`);
      try {
        const ledger = await openLedger(url, { lifetimeSeconds: config.tokenLifetimeSeconds, evidence, retentionDays });
        try {
          await within(ledger.ping());
          return ok('it answers');
        } finally {
          await ledger.close();
        }
      } catch (error) {
        const found = isWebdistError(error) ? error.detail : 'it does not answer';
        const hint = isWebdistError(error) ? error.hint : undefined;
        return fail(found, hint ?? 'Check WEBDIST_LEDGER: the address, the password and the network.');
      }
    },
  },
  {
    id: 'ledger-secret',
    section: 'private',
    why: 'Whoever has the secret can forge device cookies; who loses it makes every device new.',
    look({ config }) {
      if (!config) return undefined;
      if (config.ledger.secret !== undefined) return ok('WEBDIST_LEDGER_SECRET is set');
      const path = join(config.dataDir, 'ledger-secret');
      if (!existsSync(path)) return info(`${path} is made at the first start`);
      const mode = statSync(path).mode & 0o777;
      return mode & 0o077
        ? warn(`${path} has mode ${mode.toString(8)}`, `chmod 600 ${path}`)
        : ok(`${path}, mode ${mode.toString(8)}`);
    },
  },
  {
    id: 'redis',
    section: 'private',
    why: 'Without the Redis they share, every replica counts requests for itself.',
    async look({ config }) {
      if (!config) return undefined;
      const { redisUrl } = config.rateLimit;
      if (redisUrl === undefined) return info('not used');
      const { Redis } = await import('ioredis');
      const client = new Redis(redisUrl, { lazyConnect: true, connectTimeout: PING_MS, retryStrategy: () => null });
      client.on('error', () => {
        // The ping below fails for it.
      });
      try {
        await within(client.connect().then(() => client.ping()));
        return ok('it answers');
      } catch {
        // Its words can hold the address with the password.
        return fail('WEBDIST_REDIS_URL does not answer', 'Check the address, the password and the network.');
      } finally {
        client.disconnect();
      }
    },
  },
];

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), PING_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
