/**
 * A Vault or OpenBao server, logged in: what KV and Transit share. Tells its refusals apart as `cloud/refusal.ts` does
 * for the other services.
 *
 * Settings, named as Vault's own tools name them: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT (a PEM file), and one of
 * VAULT_TOKEN · VAULT_ROLE_ID with VAULT_SECRET_ID · VAULT_KUBERNETES_ROLE (VAULT_KUBERNETES_JWT_PATH: another place
 * of the service account's JWT). VAULT_AUTH_PATH: where the login is mounted, if not at `approle` or `kubernetes`.
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
   * Takes the thing in words (`The Vault Transit key transit/a`), the request and the form of the answer; gives the
   * answer. Throws `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
   */
  ask<T>(thing: string, request: Request, form: z.ZodType<T>): Promise<T>;
  close(): void;
}

/** Opens the server that the environment names; nothing is sent yet. Throws `config_invalid`. */
export async function openVault(env: Environment): Promise<Vault> {
  const login = loginFrom(env);
  const http = await openVaultHttp(env);
  const session = openSession(http, login);
  return {
    async ask(thing, request, form) {
      const answer = await answerTo(thing, request, http, session);
      // 204 is how older servers say that something was made.
      if (answer.status !== 200 && answer.status !== 204) throw refused(thing, refusalOf(answer), said(answer));
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

async function answerTo(thing: string, request: Request, http: VaultHttp, session: Session): Promise<Answer> {
  try {
    const vaultToken = await session.vaultToken();
    const answer = await http.send(request, vaultToken);
    if (answer.status !== 403 || (await isAlive(http, vaultToken))) return answer;
    // 403 stands for "may not" and for "who are you" alike; only the second is repaired by a new login.
    if (!session.forget(vaultToken)) throw refused(thing, tokenGone, said(answer));
    return await http.send(request, await session.vaultToken());
  } catch (cause) {
    if (cause instanceof WebdistError) throw cause;
    if (cause instanceof LoginRefused) throw refused(thing, loginRefusal(cause.answer), said(cause.answer));
    throw refused(thing, { kind: 'unreachable', hint: 'Check VAULT_ADDR, VAULT_CACERT and the network.' }, cause);
  }
}

/** Anything else than a plain no counts as alive: then the first answer stands. */
async function isAlive(http: VaultHttp, vaultToken: string): Promise<boolean> {
  const { status } = await http.send({ method: 'GET', path: 'auth/token/lookup-self' }, vaultToken);
  return status !== 403;
}

const tokenGone: Refusal = {
  kind: 'denied',
  why: 'cannot be used: Vault does not accept VAULT_TOKEN, which has ended or was revoked.',
  hint: 'Give a new one, or let webdist log in by itself with AppRole or Kubernetes.',
};

/** Statuses of Vault's HTTP API (developer.hashicorp.com/vault/api-docs, "HTTP status codes"). */
function refusalOf({ status, retryAfterSeconds }: Answer): Refusal {
  const later = retryAfterSeconds !== undefined && { retryAfterSeconds };
  if (status === 403)
    return { kind: 'denied', hint: 'Give its policy the capabilities of the documentation page of this backend.' };
  if (status === 404)
    return { kind: 'absent', hint: 'Check the mount and the name in the locator, and VAULT_NAMESPACE.' };
  if (status === 429) return { kind: 'throttled', ...later };
  if (status >= 500)
    return { kind: 'unreachable', why: `is not served: Vault answers ${status}, sealed perhaps.`, ...later };
  if (status === 400 || status === 405)
    return { kind: 'invalid', why: `is not what it should be: Vault answers ${status}.` };
  return { kind: 'unreachable', why: `is not served: Vault answers ${status}.` };
}

function loginRefusal(answer: Answer): Refusal {
  if (answer.status >= 500 || answer.status === 429) return refusalOf(answer);
  if (answer.status === 200) return unreadable;
  return {
    kind: 'denied',
    why: `cannot be used: Vault refuses the login with ${answer.status}.`,
    hint: 'Check the role, its secret or service account, and VAULT_AUTH_PATH.',
  };
}

/** Vault's own words, for the log. They name paths and reasons, never a secret. */
function said({ status, body }: Answer): Error {
  const errors = typeof body === 'object' && body !== null && 'errors' in body ? body.errors : undefined;
  return new Error(`Vault answered ${status}: ${Array.isArray(errors) ? errors.join('; ') : 'no reason given'}`);
}
