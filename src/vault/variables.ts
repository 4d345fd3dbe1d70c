/**
 * The variables of Vault's and OpenBao's own tools. Every `VAULT_…` may also be given as `BAO_…`, which takes precedence, and
 * as `…_FILE`, the path of a file with the value, which is read each time the value is needed.
 */

import { readCredential } from '../cloud/files.ts';
import type { Environment } from '../environment.ts';

export type VaultVariable =
  | 'ADDR'
  | 'AGENT_ADDR'
  | 'NAMESPACE'
  | 'CACERT'
  | 'CAPATH'
  | 'CLIENT_CERT'
  | 'CLIENT_KEY'
  | 'TLS_SERVER_NAME'
  | 'SKIP_VERIFY'
  | 'TOKEN'
  | 'ROLE_ID'
  | 'SECRET_ID'
  | 'AUTH_PATH'
  | 'JWT'
  | 'JWT_ROLE'
  | 'AWS_ROLE'
  | 'AWS_HEADER_VALUE'
  | 'AWS_REGION'
  | 'KUBERNETES_ROLE'
  | 'KUBERNETES_JWT_PATH';

/**
 * Returns the value of a variable, trimmed; undefined if it is not set or empty. Throws `key_unreachable` if its file
 * cannot be read.
 */
export async function vaultVariable(env: Environment, name: VaultVariable): Promise<string | undefined> {
  for (const variable of [`BAO_${name}`, `VAULT_${name}`]) {
    const value = env[variable]?.trim();
    if (value) return value;
    const path = env[`${variable}_FILE`]?.trim();
    if (path) return readCredential(path, variable);
  }
  return undefined;
}

/** Whether a variable is set, directly or as a file. Reads nothing. */
export const hasVaultVariable = (env: Environment, name: VaultVariable): boolean =>
  [`BAO_${name}`, `VAULT_${name}`].some((variable) => env[variable]?.trim() || env[`${variable}_FILE`]?.trim());
