/** `env://NAME`: a secret in an environment variable, as it is or as base64. Example: `env://DISTRIBUTION_KEY`. */

import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** Opens `env://NAME`. Reading throws `key_absent` when the variable is not set or empty. */
export function openEnv(locator: string, env: Environment): SecretSource {
  const name = /^env:\/\/([A-Za-z_][A-Za-z0-9_]*)$/.exec(locator)?.[1];
  if (!name)
    throw new WebdistError('config_invalid', 'An env locator is env://NAME, NAME being the name of a variable.');
  return {
    backend: 'env',
    async read() {
      const value = env[name];
      if (!value)
        throw new WebdistError('key_absent', `The variable ${name} is not set or is empty.`, {
          hint: `Put the key into ${name}, as PEM or as base64 of the PEM.`,
        });
      return value;
    },
    async close() {
      // Nothing is held open.
    },
  };
}
