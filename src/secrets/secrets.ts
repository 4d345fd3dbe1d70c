/** Where strings come from: a locator's scheme chooses the backend, which is loaded when it is first asked for. */

import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';

/** One opened place of secrets. */
export interface SecretSource {
  /** The backend's name for logs, e.g. `file`. */
  readonly backend: string;
  /** The secret as it is now. Throws `key_absent`, `key_denied`, `key_unreachable` or `key_invalid`. */
  read(): Promise<string>;
  /** Calls back when the secret may have changed, where the backend can notice; gives the end of watching. */
  watch?(changed: () => void): () => void;
  /** Lets go of connections, sessions and timers. */
  close(): Promise<void>;
}

type Opener = (locator: string, env: Environment) => Promise<SecretSource> | SecretSource;

const backends: Readonly<Record<string, () => Promise<Opener>>> = {
  'env:': async () => (await import('./env.ts')).openEnv,
  'file:': async () => (await import('./file.ts')).openFile,
  'vault+kv:': async () => (await import('./vault-kv.ts')).openVaultKv,
  'awssecrets:': async () => (await import('./aws.ts')).openAwsSecret,
  'gcpsecrets:': async () => (await import('./google.ts')).openGoogleSecret,
  'azuresecrets:': async () => (await import('./azure.ts')).openAzureSecret,
};

const schemeOf = (locator: string) => /^[a-z][a-z0-9+.-]*:/.exec(locator)?.[0] ?? '';

/** True for a locator whose secret is read and used here, false for one of a signer that never lets go of its key. */
export function isSecretLocator(locator: string): boolean {
  return Object.hasOwn(backends, schemeOf(locator));
}

/**
 * Opens the place a locator (contract §4) names; nothing is read yet.
 * Throws `config_invalid` for an unknown scheme or a malformed locator.
 */
export async function openSecret(locator: string, env: Environment): Promise<SecretSource> {
  const backend = backends[schemeOf(locator)];
  if (!backend) throw new WebdistError('config_invalid', `No secrets backend has the scheme "${schemeOf(locator)}".`);
  return (await backend())(locator, env);
}
