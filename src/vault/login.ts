/**
 * How webdist comes by a Vault token: VAULT_TOKEN as it is, AppRole, or the Kubernetes service account. Only says what
 * to send where.
 */

import { readFile } from 'node:fs/promises';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { Request } from './http.ts';

/** `fixed`: the operator gave a token. `ask`: the request that gets one, made anew each time. */
export type Login = { readonly fixed: string } | { readonly ask: () => Promise<Request> };

/** Where Kubernetes puts the service account's JWT; it is replaced there before it expires. */
const SERVICE_ACCOUNT_JWT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Takes the first way the environment gives: token, AppRole, Kubernetes. Throws `config_invalid` when there is none. */
export function loginFrom(env: Environment): Login {
  if (env['VAULT_TOKEN']) return { fixed: env['VAULT_TOKEN'] };
  const roleId = env['VAULT_ROLE_ID'];
  if (roleId) {
    // A role may do without a secret id (bind_secret_id=false).
    const secretId = env['VAULT_SECRET_ID'];
    const body = { role_id: roleId, ...(secretId && { secret_id: secretId }) };
    return { ask: async () => ({ method: 'POST', path: loginPath(env, 'approle'), body }) };
  }
  const role = env['VAULT_KUBERNETES_ROLE'];
  if (role) {
    const jwtPath = env['VAULT_KUBERNETES_JWT_PATH'] || SERVICE_ACCOUNT_JWT;
    return {
      ask: async () => ({
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
      hint: 'Let Kubernetes mount the service account token (automountServiceAccountToken).',
      cause,
    });
  }
}
