/**
 * A Vault or OpenBao server with a login, which KV and Transit share, and the classification of its errors.
 *
 * Variables, named as in Vault's own tools: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT (a PEM file), and one of
 * VAULT_TOKEN · VAULT_ROLE_ID with VAULT_SECRET_ID · VAULT_KUBERNETES_ROLE (VAULT_KUBERNETES_JWT_PATH: another path of
 * the service account's JWT). VAULT_AUTH_PATH: where the login is mounted, if not at `approle` or `kubernetes`.
 */

import type { z } from 'zod';
import { type Refusal, refused, unreadable } from '../cloud/refusal.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
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

/** Opens the server that the environment names. Sends nothing yet. Throws `config_invalid`. */
export async function openVault(env: Environment): Promise<Vault> {
  const login = loginFrom(env);
  const http = await openVaultHttp(env);
  const session = openSession(http, login);
  return {
    async call(thing, request, form) {
      const answer = await send(thing, request, http, session);
      // Older servers return 204 when they have created something.
      if (answer.status !== 200 && answer.status !== 204) throw refused(thing, refusalOf(answer), messageOf(answer));
      const parsed = form.safeParse(answer.body);
      // Zod's error is left out: an issue could quote what it found, which can be the secret.
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
    if (answer.status !== 403 || (await isAlive(http, vaultToken))) return answer;
    // 403 means "not permitted" or "unknown token"; a new login helps only with the second.
    if (!session.forget(vaultToken)) throw refused(thing, tokenGone, messageOf(answer));
    return await http.send(request, await session.vaultToken());
  } catch (cause) {
    if (cause instanceof WebdistError) throw cause;
    if (cause instanceof LoginRefused) throw refused(thing, loginRefusal(cause.answer), messageOf(cause.answer));
    throw refused(thing, { kind: 'unreachable', hint: 'Check VAULT_ADDR, VAULT_CACERT and the network.' }, cause);
  }
}

/** Only 403 means that the token is unknown; with any other status, the first response stands. */
async function isAlive(http: VaultHttp, vaultToken: string): Promise<boolean> {
  const { status } = await http.send({ method: 'GET', path: 'auth/token/lookup-self' }, vaultToken);
  return status !== 403;
}

const tokenGone: Refusal = {
  kind: 'denied',
  why: 'cannot be used: Vault does not accept VAULT_TOKEN, which has expired or was revoked.',
  hint: 'Set a new one, or let webdist log in itself with AppRole or Kubernetes.',
};

/** Statuses of Vault's HTTP API (developer.hashicorp.com/vault/api-docs, "HTTP status codes"). */
function refusalOf({ status, retryAfterSeconds }: Answer): Refusal {
  const later = retryAfterSeconds !== undefined && { retryAfterSeconds };
  if (status === 403)
    return {
      kind: 'denied',
      hint: 'Give its policy the capabilities that the documentation page of this backend lists.',
    };
  if (status === 404)
    return { kind: 'absent', hint: 'Check the mount and the name in the locator, and VAULT_NAMESPACE.' };
  if (status === 429) return { kind: 'throttled', ...later };
  if (status >= 500)
    return { kind: 'unreachable', why: `is not available: Vault returned ${status}; it may be sealed.`, ...later };
  if (status === 400 || status === 405)
    return { kind: 'invalid', why: `is of another kind: Vault returned ${status}.` };
  return { kind: 'unreachable', why: `is not available: Vault returned ${status}.` };
}

function loginRefusal(answer: Answer): Refusal {
  if (answer.status >= 500 || answer.status === 429) return refusalOf(answer);
  if (answer.status === 200) return unreadable;
  return {
    kind: 'denied',
    why: `cannot be used: Vault refused the login with ${answer.status}.`,
    hint: 'Check the role, its secret or service account, and VAULT_AUTH_PATH.',
  };
}

/** Vault's own message, for the log. It names paths and reasons, never a secret. */
function messageOf({ status, body }: Answer): Error {
  const errors = typeof body === 'object' && body !== null && 'errors' in body ? body.errors : undefined;
  return new Error(`Vault returned ${status}: ${Array.isArray(errors) ? errors.join('; ') : 'no reason given'}`);
}
