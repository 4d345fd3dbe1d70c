/**
 * Keeps the Vault token in use. It is requested when it is first needed, renewed before it expires, and replaced when
 * Vault no longer knows it. The time of renewal has jitter, so that replicas that started together do not renew
 * together.
 */

import { z } from 'zod';
import type { Answer, Request, VaultHttp } from './http.ts';
import type { Login } from './login.ts';

export interface Session {
  /**
   * Returns the token to use now. If there is none, logs in or reads it. Undefined if an agent adds its own. Throws
   * `LoginRefused`, `key_unreachable`, or the network's errors.
   */
  vaultToken(): Promise<string | undefined>;
  /** To be called when Vault no longer knows this token. The next `vaultToken` then logs in or reads again. */
  forget(vaultToken: string | undefined): void;
  /** Stops the renewal. The token is not revoked: other replicas may use the same one. */
  close(): void;
}

/** Vault answered a login without a token. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
  readonly answer: Answer;
  constructor(answer: Answer) {
    super(`Vault answered the login with ${answer.status}.`);
    this.answer = answer;
  }
}

const leaseAnswer = z.object({
  auth: z.object({ client_token: z.string().min(1), lease_duration: z.number(), renewable: z.boolean() }),
});
const lookupAnswer = z.object({ data: z.object({ ttl: z.number(), renewable: z.boolean() }) });

type UsableLogin = Exclude<Login, { kind: 'none' }>;
type Lease = { readonly vaultToken: string; readonly ttlSeconds: number; readonly renewable: boolean };

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const SHORTEST_TIMER_MS = 500;

/** Opens a session. Sends nothing yet. */
export function openSession(http: VaultHttp, login: Login): Session {
  let current: Promise<Lease> | undefined;
  let inUse: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const begin = (login: UsableLogin): Promise<Lease> => {
    const begun =
      login.kind === 'fixed' ? login.read().then((fixed) => lookUp(http, fixed)) : logIn(http, login.request);
    current = begun;
    begun.then(adopt, () => {
      // The callers that await this login get its error. The next caller may try again.
      if (current === begun) current = undefined;
    });
    return begun;
  };

  const adopt = (lease: Lease) => {
    inUse = lease.vaultToken;
    current = Promise.resolve(lease);
    renewLater(lease, lease.ttlSeconds);
  };

  /** The renewal happens after 60 to 80 % of the token's remaining time. */
  const renewLater = (lease: Lease, leftSeconds: number) => {
    clearTimeout(timer);
    const canLast = lease.renewable || login.kind === 'request';
    if (closed || !canLast || lease.ttlSeconds === 0) return;
    const delayMs = leftSeconds * 1000 * (0.6 + 0.2 * Math.random());
    timer = setTimeout(
      () => void renew(lease, leftSeconds),
      Math.min(Math.max(delayMs, SHORTEST_TIMER_MS), LONGEST_TIMER_MS),
    );
    timer.unref();
  };

  const renew = async (lease: Lease, leftSeconds: number) => {
    try {
      const answer = await http.send({ method: 'POST', path: 'auth/token/renew-self', body: {} }, lease.vaultToken);
      if (answer.status >= 429) throw new LoginRefused(answer);
      const renewed = leaseAnswer.safeParse(answer.body).data?.auth;
      const ttlSeconds = renewed?.lease_duration ?? 0;
      // Near its maximum TTL, a token is renewed for shorter and shorter times. Replace it while it still works.
      if (renewed && (ttlSeconds > lease.ttlSeconds / 2 || login.kind === 'fixed')) renewLater(lease, ttlSeconds);
      else if (login.kind === 'request') adopt(await logIn(http, login.request));
    } catch {
      // Vault was not reached, so try again within the time left. After that, the next use finds that the token is
      // unknown.
      renewLater(lease, leftSeconds * 0.2);
    }
  };

  return {
    vaultToken: async () => (login.kind === 'none' ? undefined : (await (current ?? begin(login))).vaultToken),
    forget(vaultToken) {
      // If several calls find at the same time that the token is unknown, only the first one discards it.
      if (inUse === vaultToken) inUse = current = undefined;
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

async function logIn(http: VaultHttp, request: () => Promise<Request>): Promise<Lease> {
  const answer = await http.send(await request());
  const auth = leaseAnswer.safeParse(answer.body).data?.auth;
  if (answer.status !== 200 || !auth) throw new LoginRefused(answer);
  return { vaultToken: auth.client_token, ttlSeconds: auth.lease_duration, renewable: auth.renewable };
}

/**
 * A fixed token may never expire, or may expire soon. A token that may not look itself up is used unchanged, and not
 * renewed.
 */
async function lookUp(http: VaultHttp, vaultToken: string): Promise<Lease> {
  const answer = await http.send({ method: 'GET', path: 'auth/token/lookup-self' }, vaultToken);
  const data = answer.status === 200 ? lookupAnswer.safeParse(answer.body).data?.data : undefined;
  return { vaultToken, ttlSeconds: data?.ttl ?? 0, renewable: data?.renewable ?? false };
}
