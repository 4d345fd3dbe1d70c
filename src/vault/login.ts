/** Gets a Vault token: from VAULT_TOKEN, or by a login with AppRole or the Kubernetes service account. */

import { readCredential } from '../cloud/files.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { Request } from './http.ts';
import { hasVaultVariable, vaultVariable } from './variables.ts';

/**
 * `fixed` reads the token that the operator set, which may change if it is in a file. `request` builds the request for
 * a new token. With `none`, requests carry no token, because a Vault Agent or Proxy adds its own.
 */
export type Login =
  | { readonly kind: 'fixed'; readonly read: () => Promise<string> }
  | { readonly kind: 'request'; readonly request: () => Promise<Request> }
  | { readonly kind: 'none' };

/** The path at which Kubernetes mounts the service account's JWT. Kubernetes replaces the JWT before it expires. */
const SERVICE_ACCOUNT_JWT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * Returns the first of token, AppRole and Kubernetes that is configured in the environment. `isAgent` means that the
 * address is that of a Vault Agent, which may log in itself. Throws `config_invalid` if there is no way to log in.
 */
export function loginFrom(env: Environment, isAgent: boolean): Login {
  if (hasVaultVariable(env, 'TOKEN'))
    return { kind: 'fixed', read: async () => (await vaultVariable(env, 'TOKEN')) ?? '' };
  if (hasVaultVariable(env, 'ROLE_ID')) return { kind: 'request', request: () => appRole(env) };
  if (hasVaultVariable(env, 'KUBERNETES_ROLE')) return { kind: 'request', request: () => kubernetes(env) };
  if (isAgent) return { kind: 'none' };
  throw new WebdistError('config_invalid', 'A Vault locator needs a way to log in.', {
    hint: 'Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE; or VAULT_AGENT_ADDR for a Vault Agent that logs in.',
  });
}

async function appRole(env: Environment): Promise<Request> {
  // A role may need no secret id (bind_secret_id=false).
  const secretId = await vaultVariable(env, 'SECRET_ID');
  const body = { role_id: await vaultVariable(env, 'ROLE_ID'), ...(secretId && { secret_id: secretId }) };
  return { method: 'POST', path: await loginPath(env, 'approle'), body };
}

async function kubernetes(env: Environment): Promise<Request> {
  const path = (await vaultVariable(env, 'KUBERNETES_JWT_PATH')) ?? SERVICE_ACCOUNT_JWT;
  const jwt = await readCredential(path, "the service account token for Vault's Kubernetes login");
  return {
    method: 'POST',
    path: await loginPath(env, 'kubernetes'),
    body: { role: await vaultVariable(env, 'KUBERNETES_ROLE'), jwt },
  };
}

async function loginPath(env: Environment, method: string): Promise<string> {
  const mount = ((await vaultVariable(env, 'AUTH_PATH')) ?? method).replace(/^(auth\/)?\/*|\/+$/g, '');
  return `auth/${mount.split('/').map(encodeURIComponent).join('/')}/login`;
}
