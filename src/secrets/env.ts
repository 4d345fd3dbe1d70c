/**
 * Environment variables: `env://NAME`. Example: `env://DISTRIBUTION_KEY`, which holds a PEM, or base64 of one.
 * See docs/keys/env.md.
 */

import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** Opens `env://NAME`. Throws `config_invalid`. Reading throws `key_absent` if the variable is not set or empty. */
export function openEnv(locator: string, env: Environment): SecretSource {
  const name = parse(locator);
  return {
    backend: 'env',
    async read() {
      const value = env[name];
      if (!value)
        throw new WebdistError('key_absent', `The variable ${name} is not set or is empty.`, {
          hint: `Set ${name} to the key: the PEM, or base64 of the PEM.`,
        });
      return value;
    },
    async close() {
      // Nothing is open.
    },
  };
}

function parse(locator: string): string {
  const name = /^env:\/\/([A-Za-z_][A-Za-z0-9_]*)$/.exec(locator)?.[1];
  if (name) return name;
  throw new WebdistError('config_invalid', 'An env locator is env://NAME. NAME is the name of a variable.');
}
