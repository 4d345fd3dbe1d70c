/** Gets a Vault token: from VAULT_TOKEN, or by a login with AppRole, a JWT, the Kubernetes service account, or AWS. */

import { readCredential } from '../cloud/files.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { awsLoginBody } from './aws-login.ts';
import type { Request } from './http.ts';
import { hasVaultVariable, type VaultVariable, vaultVariable } from './variables.ts';

/**
 * `fixed` reads the token that the operator set, which may change if it is in a file. `request` builds the request for
 * a new token. With `none`, requests carry no token, because a Vault Agent or Proxy adds its own.
 */
export type Login =
  | { readonly kind: 'fixed'; readonly read: () => Promise<string> }
  | { readonly kind: 'request'; readonly request: () => Promise<Request> }
  | { readonly kind: 'none' };

/** A method of Vault's logins: the variable that selects it, its usual mount, and the body of a login. */
type Method = {
  readonly variable: VaultVariable;
  readonly mount: string;
  readonly body: (env: Environment) => Promise<object>;
};

/** The path at which Kubernetes mounts the service account's JWT. Kubernetes replaces the JWT before it expires. */
const SERVICE_ACCOUNT_JWT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** In order of precedence. Everything is read again for each login, because credentials expire and files are replaced. */
const methods: readonly Method[] = [
  {
    variable: 'ROLE_ID',
    mount: 'approle',
    async body(env) {
      // A role may need no secret id (bind_secret_id=false).
      const secretId = await vaultVariable(env, 'SECRET_ID');
      return { role_id: await vaultVariable(env, 'ROLE_ID'), ...(secretId && { secret_id: secretId }) };
    },
  },
  {
    variable: 'JWT',
    mount: 'jwt',
    async body(env) {
      // A mount may have a default role.
      const role = await vaultVariable(env, 'JWT_ROLE');
      return { jwt: await vaultVariable(env, 'JWT'), ...(role && { role }) };
    },
  },
  {
    variable: 'KUBERNETES_ROLE',
    mount: 'kubernetes',
    async body(env) {
      const path = (await vaultVariable(env, 'KUBERNETES_JWT_PATH')) ?? SERVICE_ACCOUNT_JWT;
      const jwt = await readCredential(path, "the service account token for Vault's Kubernetes login");
      return { role: await vaultVariable(env, 'KUBERNETES_ROLE'), jwt };
    },
  },
  {
    variable: 'AWS_ROLE',
    mount: 'aws',
    body: async (env) =>
      awsLoginBody({
        role: await vaultVariable(env, 'AWS_ROLE'),
        serverId: await vaultVariable(env, 'AWS_HEADER_VALUE'),
        region: await vaultVariable(env, 'AWS_REGION'),
      }),
  },
];

/**
 * Returns the token, or the first method that is configured in the environment. `isAgent` means that the address is that
 * of a Vault Agent, which may log in itself. Throws `config_invalid` if there is no way to log in.
 */
export function loginFrom(env: Environment, isAgent: boolean): Login {
  if (hasVaultVariable(env, 'TOKEN'))
    return { kind: 'fixed', read: async () => (await vaultVariable(env, 'TOKEN')) ?? '' };
  const method = methods.find(({ variable }) => hasVaultVariable(env, variable));
  if (method)
    return {
      kind: 'request',
      request: async () => ({
        method: 'POST',
        path: await loginPath(env, method.mount),
        body: await method.body(env),
      }),
    };
  if (isAgent) return { kind: 'none' };
  throw new WebdistError('config_invalid', 'A Vault locator needs a way to log in.', {
    hint: 'Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_JWT_FILE, or VAULT_KUBERNETES_ROLE, or VAULT_AWS_ROLE; or VAULT_AGENT_ADDR for a Vault Agent that logs in.',
  });
}

async function loginPath(env: Environment, usualMount: string): Promise<string> {
  const mount = ((await vaultVariable(env, 'AUTH_PATH')) ?? usualMount).replace(/^(auth\/)?\/*|\/+$/g, '');
  return `auth/${mount.split('/').map(encodeURIComponent).join('/')}/login`;
}
