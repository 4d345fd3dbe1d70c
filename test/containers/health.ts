/** Polls the health of replicas. */

import { setTimeout as delay } from 'node:timers/promises';

const EVERY_MS = 250;
const PATIENCE_MS = 10_000;

type State = { readonly state: string };
type Health = {
  readonly ready: boolean;
  readonly ledger: State;
  readonly redis: State;
  readonly domain: State;
  readonly apps: Readonly<Record<string, { readonly registration: State }>>;
};

/** Polls each URL a few times a second until `stop`. */
export function watchHealth(urls: readonly string[]) {
  const troubles = new Map<string, readonly string[]>();
  const since = new Map<string, number>();
  let seen = new Set<string>();
  let stopped = false;
  const watch = async (url: string) => {
    while (!stopped) {
      const troubled = await troublesOf(url);
      const isNews = (troubles.get(url)?.length ?? 1) > 0 && troubled.length === 0;
      if (isNews) since.set(url, performance.now());
      troubles.set(url, troubled);
      for (const name of troubled) seen.add(name);
      await delay(EVERY_MS);
    }
  };
  const watching = Promise.all(urls.map(watch));
  return {
    isWell: () => urls.every((url) => troubles.get(url)?.length === 0),
    /** When the last replica recovered, by `performance.now()`. */
    wellSince: () => Math.max(...since.values()),
    /** Everything that any of them reported as degraded since `forget`. */
    degraded: (): readonly string[] => [...seen].sort(),
    forget() {
      seen = new Set();
    },
    tell: () => JSON.stringify(Object.fromEntries(troubles)),
    async stop() {
      stopped = true;
      await watching;
    },
  };
}

async function troublesOf(url: string): Promise<readonly string[]> {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const health = (await response.json()) as Health;
    const isRegistered = [health.domain, ...Object.values(health.apps).map(({ registration }) => registration)];
    const states = { ledger: [health.ledger], redis: [health.redis], registration: isRegistered };
    return [
      ...(response.status === 200 && health.ready ? [] : ['not ready']),
      ...Object.entries(states)
        .filter(([, all]) => all.some(({ state }) => state !== 'ok' && state !== 'off'))
        .map(([name]) => name),
    ];
  } catch {
    return ['no health'];
  }
}
