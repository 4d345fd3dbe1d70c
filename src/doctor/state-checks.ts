/**
 * Checks the stored state: data folder, registration store, ledger and Redis. Creates nothing that does not exist yet.
 */

import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isWebdistError } from '../errors.ts';
import { type Ledger, type LedgerReader, type LedgerReplica, variableOf } from '../ledger/contract.ts';
import { ledgerBackend, openLedger } from '../ledger/ledger.ts';
import { checkSecret } from '../ledger/secret-check.ts';
import { openRedisConnection } from '../redis/connection.ts';
import { openFileRegistrationStore } from '../registration/store-file.ts';
import { existingLedgerSecret, secretFingerprint } from '../service/secret.ts';
import { asProblem } from './apple-account.ts';
import { type Check, type Finding, fail, info, ok, privateCheck, warn, worstOf } from './check.ts';
import { folderProblem } from './writable.ts';

const PING_MS = 3000;
const CLOCK_SECONDS = 30;

export const stateChecks: readonly Check[] = [
  privateCheck(
    'data-folder',
    'The data folder keeps the ledger, its secret and the known key id across restarts.',
    ({ config }) => {
      if (!config) return undefined;
      const { dataDir } = config;
      const problem = folderProblem(dataDir, 'WEBDIST_DATA_DIR');
      if (problem) return fail(problem.detail, problem.hint);
      if (!existsSync(dataDir)) return info(`${dataDir} is created at the first start`);
      const mode = statSync(dataDir).mode & 0o777;
      return mode & 0o007
        ? warn(`${dataDir} has mode ${mode.toString(8)}`, `chmod 700 ${dataDir}`)
        : ok(`${dataDir}, mode ${mode.toString(8)}`);
    },
  ),
  privateCheck(
    'registration-store',
    'With the stored key id, the service can start and sign while Apple is down.',
    async ({ config, appleAccount }) => {
      if (!config) return undefined;
      try {
        if (folderProblem(config.dataDir, 'WEBDIST_DATA_DIR')) return undefined;
        const stored = await openFileRegistrationStore(config.dataDir).load();
        const account = await appleAccount();
        return worstOf(
          config.apps.map(({ bundleId, appleItemId }) => {
            const [known, own] = [stored[appleItemId], account?.appKeys.get(appleItemId)];
            if (!known) return info(`nothing is stored for ${bundleId} yet`);
            return own && own.id !== known.keyId && own.spki === known.spki
              ? warn(
                  `${bundleId}: the stored key id is ${known.keyId}, the registered one is ${own.id}`,
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
  ),
  privateCheck(
    'ledger-kind',
    'Only a durable ledger distinguishes first installs from later ones, which Apple reports to advertisers.',
    ({ config }) => {
      if (!config) return undefined;
      const backend = ledgerBackend(config.ledger.url);
      if (!backend.isOn) return warn('WEBDIST_LEDGER=off: every dtype is a guess', 'Unset WEBDIST_LEDGER.');
      return backend.isDurable
        ? ok(backend.name)
        : warn(
            `the ledger of WEBDIST_LEDGER=${backend.example} is lost at a restart`,
            'Unset WEBDIST_LEDGER to use SQLite.',
          );
    },
  ),
  privateCheck(
    'ledger',
    'If the ledger does not answer, every install becomes a redownload, or none is possible.',
    async ({ config, appleAccount }) => {
      if (!config) return undefined;
      const { url } = config.ledger;
      const backend = ledgerBackend(url);
      if (!backend.isDurable) return undefined;
      const path = backend.fileOf?.(url);
      const folder = path === undefined ? undefined : dirname(path);
      // The check `data-folder` reports a problem with its own folder.
      if (folder === config.dataDir && folderProblem(folder, 'WEBDIST_DATA_DIR')) return undefined;
      const problem = folder === undefined ? undefined : folderProblem(folder, 'WEBDIST_LEDGER');
      if (problem) return fail(problem.detail, problem.hint);
      if (path !== undefined && !existsSync(path)) return info(`${path} is created at the first start`);
      const use = async (ledger: Ledger) => {
        await within(ledger.ping());
        const aheadSeconds = (await within(ledger.beat())) - Date.now() / 1000;
        const secret = config.ledger.secret ?? (await existingLedgerSecret(config.dataDir));
        if (secret !== undefined) await within(checkSecret(ledger, secretFingerprint(secret)));
        // The check `clock` reports a wrong clock of this machine.
        const own = Math.abs((await appleAccount())?.clockOffsetSeconds ?? 0);
        if (Math.abs(aheadSeconds) > CLOCK_SECONDS && own < CLOCK_SECONDS)
          return warn(
            `the clock of the database is ${Math.abs(Math.round(aheadSeconds))} s ${aheadSeconds > 0 ? 'ahead of' : 'behind'} this machine's`,
            'Turn on NTP on the machine of the database; its clock decides when a token says redownload.',
          );
        return ok('it answers and can store');
      };
      return tryOut(() => openLedger(config.ledger), use, {
        variable: variableOf('WEBDIST_LEDGER', config.ledger),
        bad: fail,
      });
    },
  ),
  privateCheck(
    'ledger-read',
    'While the read replica does not answer, every lookup goes to the ledger itself.',
    async ({ config }) => {
      const address = config?.ledger.read;
      const open = address && (await ledgerBackend(address.url).loadReplica?.());
      if (!open) return undefined;
      const use = async (replica: LedgerReplica) => {
        await within(replica.ping());
        await within(replica.lastBeat());
        return ok('it answers');
      };
      return tryOut(() => open(address), use, { variable: variableOf('WEBDIST_LEDGER_READ', address), bad: warn });
    },
  ),
  privateCheck(
    'ledger-secret',
    "Anyone who has the ledger's secret can forge device cookies. If it is lost, every device counts as new.",
    ({ config }) => {
      if (!config) return undefined;
      if (config.ledger.secret !== undefined) return ok('WEBDIST_LEDGER_SECRET is set');
      const path = join(config.dataDir, 'ledger-secret');
      if (!existsSync(path)) return info(`${path} is created at the first start`);
      const mode = statSync(path).mode & 0o777;
      return mode & 0o077
        ? warn(`${path} has mode ${mode.toString(8)}`, `chmod 600 ${path}`)
        : ok(`${path}, mode ${mode.toString(8)}`);
    },
  ),
  privateCheck('redis', 'Without a shared Redis, each replica counts requests separately.', async ({ config }) => {
    if (!config) return undefined;
    const { redisUrl } = config.rateLimit;
    if (redisUrl === undefined) return info('not configured');
    const redis = await openRedisConnection(redisUrl, { answerMs: PING_MS });
    try {
      await redis.prove();
      return ok('it counts');
    } catch (error) {
      const { detail, hint } = asProblem(error);
      return fail(detail, hint ?? 'Check WEBDIST_REDIS_URL: the address and the network.');
    } finally {
      redis.close();
    }
  }),
];

/** Opens a ledger or its read replica, uses it, and closes it. An error becomes the finding that `bad` makes. */
async function tryOut<T extends LedgerReader>(
  open: () => Promise<T>,
  use: (opened: T) => Promise<Finding>,
  { variable, bad }: { readonly variable: string; readonly bad: typeof warn },
): Promise<Finding> {
  const tryOnce = async () => {
    const opened = await open();
    try {
      return await use(opened);
    } finally {
      await opened.close();
    }
  };
  try {
    return await tryOnce().catch((error) => {
      if (isWebdistError(error) && error.code !== 'ledger_unavailable') throw error;
      // One failure may only mean that this machine is busy.
      return tryOnce();
    });
  } catch (error) {
    const { detail, hint } = isWebdistError(error) ? error : { detail: 'it does not answer' };
    return bad(detail, hint ?? `Check ${variable}: the address, the password and the network.`);
  }
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), PING_MS);
  });
  return Promise.race([work, timeout]).finally(() => clearTimeout(timer));
}
