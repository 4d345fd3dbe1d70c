/**
 * The visitors of a page: a first token without a cookie, the report of the tap, a fresh token after it; some return, and
 * some send invalid requests.
 */

import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

type Visitors = {
  readonly url: string;
  readonly connections: number;
  /**
   * Requests of all connections together; without it, each connection sends the next request as soon as it has a
   * response.
   */
  readonly perSecond?: number;
  /** Only new visitors, who send two requests each, so that the service counts each of them. */
  readonly areNew?: boolean;
};

/**
 * The outcome of the requests; latencies, in milliseconds from the time a request was due, are only of expected
 * responses.
 */
export type Traffic = {
  answered: number;
  /** 503: early refusals, which are expected under overload. */
  refused: number;
  errors: number;
  /** The first few, for the report. */
  readonly examples: string[];
};

export type Slice = Traffic & { readonly latenciesMs: number[] };

/** The number of returning visitors, and of cookies kept for them. */
const RETURNING = 5000;

const bad = ['{', '{"app":7}', '{"app":"com.example.unknown"}', '{"dtype":"download"}', '{"token":"\\u0000"}'];

type Answer = { readonly status: number; readonly cookie: string | undefined; readonly body: string };

/**
 * Sends visitors until it is stopped. `take` returns the traffic since its last call, `done` everything, once it has
 * ended.
 */
export function sendVisitors(visitors: Visitors, stop: AbortSignal) {
  const total: Traffic = { answered: 0, refused: 0, errors: 0, examples: [] };
  const empty = (): Slice => ({ answered: 0, refused: 0, errors: 0, examples: [], latenciesMs: [] });
  let slice = empty();
  const known: string[] = [];
  const began = performance.now();
  const everyMs = visitors.perSecond === undefined ? 0 : (visitors.connections / visitors.perSecond) * 1000;

  const worker = async (index: number) => {
    // Its own agent, so that the number of connections is constant.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let dueAt = began + (everyMs * index) / visitors.connections;
    /** One request when it is due; undefined if it was refused, failed, or it is time to stop. */
    const ask = async (path: string, body: string, cookie: string | undefined, expected: number) => {
      const early = dueAt - performance.now();
      if (early > 0) await delay(early);
      const fromMs = everyMs > 0 ? dueAt : performance.now();
      dueAt += everyMs;
      if (stop.aborted) return;
      const answer = await send(agent, visitors.url + path, body, cookie).catch((error: Error) => error);
      count(path, answer, expected, performance.now() - fromMs);
      return answer instanceof Error || answer.status !== expected ? undefined : answer;
    };
    while (!stop.aborted) await (visitors.areNew ? newcomer(ask) : visit(ask, known));
    agent.destroy();
  };

  const count = (path: string, answer: Answer | Error, expected: number, ms: number) => {
    for (const part of [total, slice]) {
      part.answered += 1;
      if (!(answer instanceof Error) && answer.status === expected) continue;
      if (!(answer instanceof Error) && answer.status === 503) part.refused += 1;
      else {
        part.errors += 1;
        const said = answer instanceof Error ? answer.message : `${answer.status} ${answer.body}`;
        if (part.examples.length < 5) part.examples.push(`${path}: ${said}`);
      }
    }
    slice.latenciesMs.push(ms);
  };

  const workers = Array.from({ length: visitors.connections }, (_, index) => worker(index));
  return {
    take(): Slice {
      const taken = slice;
      slice = empty();
      return taken;
    },
    done: Promise.all(workers).then(() => total),
  };
}

type Ask = (path: string, body: string, cookie: string | undefined, expected: number) => Promise<Answer | undefined>;

/** One visitor: three in ten return with a cookie, one in twenty sends an invalid request. */
async function visit(ask: Ask, known: string[]): Promise<void> {
  if (Math.random() < 0.05) {
    const body = bad[Math.floor(Math.random() * bad.length)] ?? '';
    await ask('/install-token', body, undefined, statusOf(body));
    return;
  }
  const returning = Math.random() < 0.3 ? known[Math.floor(Math.random() * known.length)] : undefined;
  const first = await ask('/install-token', '{}', returning, 200);
  if (!first) return;
  const cookie = first.cookie ?? returning;
  if (cookie && !returning)
    known[known.length < RETURNING ? known.length : Math.floor(Math.random() * RETURNING)] = cookie;
  if (Math.random() < 0.5) return;
  const { nonce } = JSON.parse(first.body) as { nonce: string };
  await ask('/installs', JSON.stringify({ nonce }), cookie, 204);
  await ask('/install-token', '{"app":"com.example.trailmap"}', cookie, 200);
}

async function newcomer(ask: Ask): Promise<void> {
  const first = await ask('/install-token', '{}', undefined, 200);
  if (first) await ask('/installs', first.body.replace(/.*("nonce":"[^"]+").*/s, '{$1}'), first.cookie, 204);
}

const statusOf = (body: string) => (body.includes('unknown') ? 404 : body.includes('dtype') ? 403 : 400);

function send(agent: Agent, url: string, body: string, cookie: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      origin: 'https://example.com',
      ...(cookie && { cookie }),
    };
    const sent = request(url, { method: 'POST', agent, headers, timeout: 30_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const set = answer.headers['set-cookie']?.join() ?? '';
        resolve({ status: answer.statusCode ?? 0, cookie: /webdist_device=[^;]+/.exec(set)?.[0], body: text });
      });
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer in 30 s')));
    sent.on('error', reject);
    sent.end(body);
  });
}
