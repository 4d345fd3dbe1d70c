/** How webdist gets a Vault token: from VAULT_TOKEN, or by a login with AppRole or the Kubernetes service account. */

import { readFile } from 'node:fs/promises';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { Request } from './http.ts';

/** `fixed`: a token that the operator set. `request`: builds the request for a new one. */
export type Login = { readonly fixed: string } | { readonly request: () => Promise<Request> };

/** Where Kubernetes mounts the service account's JWT, which it replaces before it expires. */
const SERVICE_ACCOUNT_JWT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** The first of token, AppRole and Kubernetes that the environment has. Throws `config_invalid` when it has none. */
export function loginFrom(env: Environment): Login {
  if (env['VAULT_TOKEN']) return { fixed: env['VAULT_TOKEN'] };
  const roleId = env['VAULT_ROLE_ID'];
  if (roleId) {
    // A role may need no secret id (bind_secret_id=false).
    const secretId = env['VAULT_SECRET_ID'];
    const body = { role_id: roleId, ...(secretId && { secret_id: secretId }) };
    return { request: async () => ({ method: 'POST', path: loginPath(env, 'approle'), body }) };
  }
  const role = env['VAULT_KUBERNETES_ROLE'];
  if (role) {
    const jwtPath = env['VAULT_KUBERNETES_JWT_PATH'] || SERVICE_ACCOUNT_JWT;
    return {
      request: async () => ({
        method: 'POST',
        path: loginPath(env, 'kubernetes'),
        body: { role, jwt: await readJwt(jwtPath) },
      }),
    };
  }
  throw new WebdistError('config_invalid', 'A Vault locator needs a way to log in.', {
    hint: 'Set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE.',
  });
}

const loginPath = (env: Environment, method: string) => {
  const mount = (env['VAULT_AUTH_PATH'] || method).replace(/^(auth\/)?\/*|\/+$/g, '');
  return `auth/${mount.split('/').map(encodeURIComponent).join('/')}/login`;
};

async function readJwt(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new WebdistError('key_denied', `Vault's Kubernetes login needs the file ${path}, which cannot be read.`, {
      hint: 'Make Kubernetes mount the service account token (automountServiceAccountToken).',
      cause,
    });
  }
}
