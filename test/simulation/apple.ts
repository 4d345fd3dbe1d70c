/**
 * The simulated App Store Connect of `src/sandbox`, in the simulated network, and the history of its keys and domains.
 */

import type { KeyObject } from 'node:crypto';
import { fromSpki } from '../../src/jws.ts';
import { apiKeyOf, newAccount } from '../../src/sandbox/account.ts';
import { answerApple } from '../../src/sandbox/apple/app-store-connect.ts';
import { openHourlyLimit } from '../../src/sandbox/apple/bearer.ts';
import { openCdn } from '../../src/sandbox/apple/cdn.ts';
import { openFaults } from '../../src/sandbox/faults.ts';
import { openStore } from '../../src/sandbox/state.ts';
import { openWebsite } from './world/network.ts';
import type { Random } from './world/random.ts';
import { trueTime, wait } from './world/scheduler.ts';

export const APPLE_ORIGIN = 'https://apple.example';

/** A request that Apple received. */
export type AppleRequest = {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** The machine that sent it. */
  readonly from: string;
};

/** When a key was registered, in true time; `until` is undefined while it is. */
export type KeyHistory = {
  readonly id: string;
  readonly publicKey: KeyObject;
  readonly from: number;
  until: number | undefined;
  removedBy: string;
};

export type SimulatedApple = ReturnType<typeof openApple>;

/** Opens an account with one app in a folder. `observe` gets each request after it was served. */
export function openApple(
  folder: string,
  { requestsPerHour, random }: { readonly requestsPerHour: number; readonly random: Random },
  observe: (request: AppleRequest) => void,
) {
  const store = openStore(folder, newAccount);
  const faults = openFaults();
  const newLimit = () => openHourlyLimit(requestsPerHour, trueTime);
  const deps = { store, cdn: openCdn(), limit: newLimit() };
  const [app] = store.state.apps;
  if (!app) throw new Error('The account has no app.');
  const history = new Map<string, KeyHistory>();
  /** To be called after every change. */
  const record = (who: string) => {
    const now = trueTime();
    for (const { id, spki } of store.state.keys)
      if (!history.has(id))
        history.set(id, { id, publicKey: fromSpki(spki), from: now, until: undefined, removedBy: '' });
    for (const one of history.values())
      if (one.until === undefined && !store.state.keys.some(({ id }) => id === one.id)) {
        one.until = now;
        one.removedBy = who;
      }
  };

  openWebsite(APPLE_ORIGIN, 'Apple', async (request, from) => {
    const { method, headers } = request;
    const { pathname, search } = new URL(request.url);
    const { skewMs, latencyMs, drop, answer: faulty } = faults.take(method, pathname);
    // A slow answer can describe the state before the delay, or the state after it.
    const beforeMs = latencyMs * random();
    if (latencyMs > 0) await wait(beforeMs, null);
    const failed = () => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
    if (drop === true) throw failed();
    const nowMs = trueTime() + skewMs;
    const answer =
      faulty ??
      (await answerApple(
        {
          method,
          target: pathname + search,
          origin: APPLE_ORIGIN,
          headers: Object.fromEntries(headers),
          body: await request.text(),
          nowMs,
        },
        deps,
      ));
    record(from);
    observe({ method, path: pathname, status: answer.status, from });
    if (latencyMs > 0) await wait(latencyMs - beforeMs, null);
    if (drop === 'after') throw failed();
    const body = typeof answer.body === 'object' ? JSON.stringify(answer.body) : answer.body;
    return new Response(answer.status === 204 ? null : (body ?? null), {
      status: answer.status,
      headers: {
        date: new Date(nowMs).toUTCString(),
        ...(body && { 'content-type': typeof answer.body === 'object' ? 'application/json' : 'text/plain' }),
        ...(answer.headers as Record<string, string>),
      },
    });
  });

  return {
    app,
    apiKey: apiKeyOf(store.state, app.team, 'team'),
    faults,
    history,
    get keys() {
      return store.state.keys;
    },
    get domains() {
      return store.state.domains;
    },
    /** Another hour has begun. */
    resetLimit() {
      deps.limit = newLimit();
    },
    /** A person changes the account on Apple's website. */
    change(act: Parameters<typeof store.change>[0]) {
      store.change(act);
      record('a person');
    },
  };
}
