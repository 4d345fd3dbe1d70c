/**
 * The client of a Vault or OpenBao server, shared by the KV and Transit backends. It logs in, sends requests and
 * classifies errors.
 *
 * Variables, named as in Vault's own tools (`variables.ts`): VAULT_ADDR or VAULT_AGENT_ADDR, VAULT_NAMESPACE,
 * VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME, and one of VAULT_TOKEN ·
 * VAULT_ROLE_ID with VAULT_SECRET_ID · VAULT_JWT with VAULT_JWT_ROLE · VAULT_KUBERNETES_ROLE (VAULT_KUBERNETES_JWT_PATH:
 * another path of the service account's JWT) · VAULT_AWS_ROLE with VAULT_AWS_HEADER_VALUE and VAULT_AWS_REGION.
 * VAULT_AUTH_PATH is the mount of the login, if it is not `approle`, `jwt`, `kubernetes` or `aws`.
 */

import type { z } from 'zod';
import { connectionRefusal, foreign, type Refusal, refused, unreadable } from '../cloud/refusal.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { vaultAddress } from './address.ts';
import { type Answer, openVaultHttp, type Request, type VaultHttp } from './http.ts';
import { loginFrom } from './login.ts';
import { LoginRefused, openSession, type Session } from './session.ts';

export interface Vault {
  /**
   * Sends a request and returns the response, parsed by `form`. `thing` is the subject of error messages
   * (`The Vault Transit key transit/a`).
   * Throws `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
   */
  call<T>(thing: string, request: Request, form: z.ZodType<T>): Promise<T>;
  close(): void;
}

/** Opens the client of the server that the environment names. Sends nothing yet. Throws `config_invalid`. */
export async function openVault(env: Environment): Promise<Vault> {
  const address = await vaultAddress(env);
  const http = openVaultHttp(address);
  const session = openSession(http, loginFrom(env, address.isAgent));
  return {
    async call(thing, request, form) {
      const answer = await send(thing, request, http, session);
      // Older servers return 204 after they have created something.
      if (answer.status !== 200 && answer.status !== 204) throw refused(thing, refusalOf(answer), codeOf(answer));
      const parsed = form.safeParse(answer.body);
      // Zod's error is not kept as the cause, because its issues could quote the value, which can be the secret.
      if (!parsed.success) throw refused(thing, unreadable);
      return parsed.data;
    },
    close() {
      session.close();
      http.close();
    },
  };
}

async function send(thing: string, request: Request, http: VaultHttp, session: Session): Promise<Answer> {
  try {
    const vaultToken = await session.vaultToken();
    const answer = await http.send(request, vaultToken);
    if (answer.status !== 403 || !isFromVault(answer) || (await isAlive(http, vaultToken))) return answer;
    // 403 means "not permitted" or "unknown token". In the second case, only a new token helps.
    session.forget(vaultToken);
    const other = await session.vaultToken();
    if (other === vaultToken) throw refused(thing, vaultToken === undefined ? noToken : tokenGone, codeOf(answer));
    return await http.send(request, other);
  } catch (cause) {
    if (cause instanceof WebdistError) throw cause;
    if (cause instanceof LoginRefused) throw refused(thing, loginRefusal(cause.answer), codeOf(cause.answer));
    throw refused(thing, connectionRefusal(cause, 'Vault', AUTHORITIES), cause);
  }
}

const AUTHORITIES =
  'Set VAULT_CACERT to the PEM file of its authority. VAULT_SKIP_VERIFY has no effect, because it would expose the Vault token.';

/**
 * Only Vault's own 403 means that the token is unknown. After any other response to the lookup, the first response
 * counts.
 */
async function isAlive(http: VaultHttp, vaultToken: string | undefined): Promise<boolean> {
  const answer = await http.send({ method: 'GET', path: 'auth/token/lookup-self' }, vaultToken);
  return answer.status !== 403 || !isFromVault(answer);
}

const tokenGone: Refusal = {
  kind: 'denied',
  why: 'cannot be used: Vault does not accept VAULT_TOKEN, which has expired or was revoked.',
  hint: 'Set a new one, or let webdist log in itself (docs/keys/vault-kv.md).',
};

const noToken: Refusal = {
  kind: 'unreachable',
  why: 'cannot be used: there is no VAULT_TOKEN, and no Vault Agent added one.',
  hint: 'Set VAULT_TOKEN or VAULT_ROLE_ID, or use_auto_auth_token in the agent.',
};

/** Every error of Vault's HTTP API is `{"errors": ["…"]}`; a deleted version of a secret has `data` instead. */
function isFromVault({ body }: Answer): boolean {
  if (typeof body !== 'object' || body === null) return false;
  if ('errors' in body && Array.isArray(body.errors)) return body.errors.every((error) => typeof error === 'string');
  return 'data' in body && typeof body.data === 'object';
}

/** Statuses of Vault's HTTP API (developer.hashicorp.com/vault/api-docs, "HTTP status codes"). */
function refusalOf(answer: Answer): Refusal {
  const { status, retryAfterSeconds } = answer;
  const later = retryAfterSeconds !== undefined && { retryAfterSeconds };
  if (status === 429) return { kind: 'throttled', ...later };
  if (status >= 500) return { ...(isSealed(answer) ? sealed : notAvailable(status)), ...later };
  if (!isFromVault(answer)) return foreign('Vault', status);
  if (status === 403)
    return {
      kind: 'denied',
      hint: 'Give its policy the capabilities that the documentation page of this backend lists.',
    };
  if (status === 404)
    return { kind: 'absent', hint: 'Check the mount and the name in the locator, and VAULT_NAMESPACE.' };
  if (status === 400 || status === 405)
    return { kind: 'invalid', why: `is of another kind: Vault returned ${status}.` };
  return notAvailable(status);
}

const sealed: Refusal = { kind: 'unreachable', why: 'is not available: Vault is sealed.', hint: 'Unseal it.' };
const notAvailable = (status: number): Refusal => ({
  kind: 'unreachable',
  why: `is not available: Vault returned ${status}.`,
});

const isSealed = ({ body }: Answer) =>
  isFromVault({ body } as Answer) && /"Vault is sealed"/.test(JSON.stringify(body));

function loginRefusal(answer: Answer): Refusal {
  if (answer.status >= 500 || answer.status === 429) return refusalOf(answer);
  if (answer.status === 200) return unreadable;
  if (!isFromVault(answer)) return foreign('Vault', answer.status);
  return {
    kind: 'denied',
    why: `cannot be used: Vault refused the login with ${answer.status}.`,
    hint: 'Check the role, its secret, JWT or identity, and VAULT_AUTH_PATH.',
  };
}

/** The part of a response that is kept as the cause. The body is dropped, because it can contain anything. */
const codeOf = ({ status }: Answer) => ({ status });
