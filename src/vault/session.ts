/**
 * The Vault token in use: got at the first need, renewed before it ends, got anew when it is gone. The moment of
 * renewal has jitter, so that replicas started together do not come together.
 */

import { z } from 'zod';
import type { Answer, VaultHttp } from './http.ts';
import type { Login } from './login.ts';

export interface Session {
  /** The token to use now; logs in when there is none. Throws `LoginRefused`, or the network's own errors. */
  vaultToken(): Promise<string>;
  /** The server no longer knows this token: the next call of `vaultToken` logs in. False when nobody can log in again. */
  forget(vaultToken: string): boolean;
  /** Ends the renewal. The token is left to end by itself: other replicas may have been given the same. */
  close(): void;
}

/** Vault answered, and not with a token. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
  readonly answer: Answer;
  constructor(answer: Answer) {
    super(`The login was answered with ${answer.status}.`);
    this.answer = answer;
  }
}

const leaseAnswer = z.object({
  auth: z.object({ client_token: z.string().min(1), lease_duration: z.number(), renewable: z.boolean() }),
});
const lookupAnswer = z.object({ data: z.object({ ttl: z.number(), renewable: z.boolean() }) });

type Lease = { readonly vaultToken: string; readonly ttlSeconds: number; readonly renewable: boolean };

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const SHORTEST_TIMER_MS = 500;

/** Takes the way to send and the way to log in; nothing is sent yet. */
export function openSession(http: VaultHttp, login: Login): Session {
  let current: Promise<Lease> | undefined;
  let inUse: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const begin = (): Promise<Lease> => {
    const begun = 'fixed' in login ? lookUp(http, login.fixed) : logIn(http, login.ask);
    current = begun;
    begun.then(adopt, () => {
      // Whoever awaits it learns why; the next one may try again.
      if (current === begun) current = undefined;
    });
    return begun;
  };

  const adopt = (lease: Lease) => {
    inUse = lease.vaultToken;
    current = Promise.resolve(lease);
    renewLater(lease, lease.ttlSeconds);
  };

  /** Between 60 and 80 % of the time the token has left. */
  const renewLater = (lease: Lease, leftSeconds: number) => {
    clearTimeout(timer);
    const canLast = lease.renewable || 'ask' in login;
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
      // At its longest life a token is renewed for less and less; better a new one while the old one still works.
      if (renewed && (ttlSeconds > lease.ttlSeconds / 2 || 'fixed' in login)) renewLater(lease, ttlSeconds);
      else if ('ask' in login) adopt(await logIn(http, login.ask));
    } catch {
      // Not reached: again within what is left. When it is too late, the next use finds the token gone and says so.
      renewLater(lease, leftSeconds * 0.2);
    }
  };

  return {
    vaultToken: async () => (await (current ?? begin())).vaultToken,
    forget(vaultToken) {
      if ('fixed' in login) return false;
      // Of many calls that find it gone together, only the first does away with it.
      if (inUse === vaultToken) inUse = current = undefined;
      return true;
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

async function logIn(http: VaultHttp, ask: Extract<Login, { ask: unknown }>['ask']): Promise<Lease> {
  const answer = await http.send(await ask());
  const auth = leaseAnswer.safeParse(answer.body).data?.auth;
  if (answer.status !== 200 || !auth) throw new LoginRefused(answer);
  return { vaultToken: auth.client_token, ttlSeconds: auth.lease_duration, renewable: auth.renewable };
}

/** A given token may live for ever or end soon. One that may not even look itself up is used as it is, not renewed. */
async function lookUp(http: VaultHttp, vaultToken: string): Promise<Lease> {
  const answer = await http.send({ method: 'GET', path: 'auth/token/lookup-self' }, vaultToken);
  const data = answer.status === 200 ? lookupAnswer.safeParse(answer.body).data?.data : undefined;
  return { vaultToken, ttlSeconds: data?.ttl ?? 0, renewable: data?.renewable ?? false };
}
