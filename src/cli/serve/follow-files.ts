/** Makes a running service use the API keys and the apps of changed files. */

import { type ApiKey, watchApiKeys } from '../../config/api-keys.ts';
import type { Config } from '../../config/config.ts';
import { watchApps } from '../../config/watch-apps.ts';
import type { Environment } from '../../environment.ts';
import type { OpenedService } from '../../service/service.ts';

export type FollowedFiles = {
  /** The API keys that are valid now. */
  readonly apiKeys: () => readonly ApiKey[];
  /** Reads the apps now; resolves when they are in use. Never rejects. */
  readonly readApps: () => Promise<void>;
};

/** Follows the files of these settings until the process ends. */
export function followFiles(env: Environment, config: Config, { service, serverDeps }: OpenedService): FollowedFiles {
  const { log, metrics, audit } = serverDeps;
  let { apiKeys } = config.callers;
  watchApiKeys(env, apiKeys, {
    changed(keys) {
      apiKeys = keys;
      const names = keys.map(({ name }) => name);
      audit?.record({ event: 'api_keys_changed', names });
      log.info({ event: 'api_keys_changed', names }, 'the API keys were read again');
    },
    invalid: (problems) =>
      log.error({ event: 'api_keys_invalid', problems }, 'the API keys cannot be read; they stay as they were'),
    recovered: () => log.info({ event: 'api_keys_valid' }, 'the API keys can be read again'),
  });
  const readApps = watchApps(env, config, {
    async changed(apps) {
      const before = service.apps.all.map(({ bundleId }) => bundleId);
      await service.useApps(apps);
      const after = apps.map(({ bundleId }) => bundleId);
      const added = after.filter((one) => !before.includes(one));
      const removed = before.filter((one) => !after.includes(one));
      audit?.record({ event: 'apps_changed', added, removed });
      log.info({ event: 'apps_changed', added, removed }, 'the apps were read again and are now served');
    },
    failed(err) {
      metrics.configFileInvalid.set(1);
      log.error({ event: 'apps_invalid', err }, 'the changed apps cannot be used; the earlier ones are still served');
    },
    recovered() {
      metrics.configFileInvalid.set(0);
      log.info({ event: 'apps_valid' }, 'the file of the apps can be used again');
    },
  });
  return { apiKeys: () => apiKeys, readApps };
}
