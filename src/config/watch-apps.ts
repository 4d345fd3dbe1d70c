/** Reads the apps again when the file of `WEBDIST_CONFIG` changes. */

import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { type AppConfig, type Config, readConfig } from './config.ts';
import { watchFiles } from './watch-files.ts';

export type AppsEvents = {
  /** Called with a changed list, one call at a time. A rejection counts as a failure. */
  readonly changed: (apps: readonly AppConfig[]) => Promise<void>;
  /** Called once for each reason why the changed list cannot be used. The apps stay as they were. */
  readonly failed: (error: unknown) => void;
  /** Called when the file can be used again after a failure. */
  readonly recovered: () => void;
};

/**
 * Watches the file until the process ends. Returns how to read it at once, which also retries a list that could not be
 * used; it never rejects. Without `WEBDIST_CONFIG`, nothing is watched.
 */
export function watchApps(env: Environment, { domain, apps }: Config, events: AppsEvents): () => Promise<void> {
  const path = env['WEBDIST_CONFIG']?.trim();
  if (!path) return async () => undefined;
  let served = JSON.stringify(apps);
  let failure: string | undefined;
  const readOnce = async () => {
    try {
      const read = readConfig(env);
      if (read.domain !== domain)
        throw new WebdistError('config_invalid', 'WEBDIST_CONFIG: a new domain needs a restart.');
      const text = JSON.stringify(read.apps);
      if (text !== served) await events.changed(read.apps);
      served = text;
      if (failure !== undefined) events.recovered();
      failure = undefined;
    } catch (error) {
      const message = String(error);
      if (message !== failure) events.failed(error);
      failure = message;
    }
  };
  let reading = Promise.resolve();
  const readAgain = () => {
    reading = reading.then(readOnce);
    return reading;
  };
  watchFiles([path], () => void readAgain());
  return readAgain;
}
