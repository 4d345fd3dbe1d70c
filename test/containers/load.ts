/** One device per server that requests install tokens at a steady rate, and what it got each time. */

import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

/** Times by `performance.now()`. */
export type Answer = {
  readonly url: string;
  readonly sentAt: number;
  readonly endedAt: number;
  /**
   * `200 download`, `503 ledger_unavailable`, `no answer: ECONNRESET`; or a 503 without Retry-After, which is marked.
   */
  readonly outcome: string;
  /** An install token, when there was one. */
  readonly installToken: string | undefined;
};

/** A request without a response after this time counts as unanswered. */
const PATIENCE_MS = 30_000;

/**
 * Sends `perSecond` requests to the URLs in turn, with at most `mostUnderWay` open, so that a busy machine reduces the load
 * instead of overloading the servers. After its first response, each server sees a returning device, because only for
 * such a device does a token need the ledger.
 */
export function startLoad(urls: readonly string[], { perSecond, mostUnderWay = 32 }: LoadOptions) {
  const agent = new Agent({ keepAlive: true, maxSockets: mostUnderWay });
  const answers: Answer[] = [];
  const cookies = new Map<string, string>();
  const underWay = new Set<Promise<void>>();
  const beganAt = performance.now();
  let stopped = false;
  const run = async () => {
    let paced = beganAt;
    for (let index = 0; !stopped; index++) {
      const asked = ask({ agent, cookies }, urls[index % urls.length] ?? '').then(
        (answer) => void answers.push(answer),
      );
      underWay.add(asked);
      void asked.finally(() => underWay.delete(asked));
      if (underWay.size >= mostUnderWay) await Promise.race(underWay);
      paced += 1000 / perSecond;
      const early = paced - performance.now();
      if (early > 0) await delay(early);
      // Requests that could not be sent in time are skipped, not sent in a burst.
      else paced = Math.max(paced, performance.now() - 1000);
    }
    await Promise.all(underWay);
  };
  const running = run();
  return {
    answers: answers as readonly Answer[],
    async stop() {
      stopped = true;
      await running;
      agent.destroy();
      return { perSecond: answers.length / ((performance.now() - beganAt) / 1000) };
    },
  };
}

type LoadOptions = { readonly perSecond: number; readonly mostUnderWay?: number };

type Sender = { readonly agent: Agent; readonly cookies: Map<string, string> };

async function ask({ agent, cookies }: Sender, url: string): Promise<Answer> {
  const sentAt = performance.now();
  const ended = (outcome: string, installToken?: string): Answer => ({
    url,
    sentAt,
    endedAt: performance.now(),
    outcome,
    installToken,
  });
  try {
    const response = await post(agent, `${url}/install-token`, cookies.get(url));
    const body = await text(response);
    const cookie = response.headers['set-cookie']?.[0]?.split(';')[0];
    if (cookie && !cookies.has(url)) cookies.set(url, cookie);
    return ended(...outcomeOf(response, body));
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return ended(`no answer: ${code ?? name}`);
  }
}

function post(agent: Agent, url: string, cookie: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, {
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(cookie && { cookie }) },
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
      .on('response', resolve)
      .on('error', reject)
      .end('{}');
  });
}

function outcomeOf(
  { statusCode, headers }: IncomingMessage,
  body: string,
): readonly [outcome: string, installToken: string | undefined] {
  if (!/json/.test(headers['content-type'] ?? '')) return [`${statusCode} without JSON`, undefined];
  const { code, dtype, token } = JSON.parse(body) as { code?: string; dtype?: string; token?: string };
  if (statusCode === 200) return [`200 ${dtype}`, token];
  const isComplete = statusCode !== 503 || /^\d+$/.test(headers['retry-after'] ?? '');
  return [`${statusCode} ${code}${isComplete ? '' : ' without Retry-After'}`, undefined];
}

/** How often each outcome was seen. */
export function outcomesOf(answers: readonly Answer[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { outcome } of answers) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return counts;
}
