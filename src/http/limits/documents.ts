/**
 * Limits the requests of one address to paths that issue no tokens: documents, OAuth, the API's description, metrics and
 * health. Each scope counts in this process, separately. Tokens have limits of their own (rate-limit.ts).
 */

import type { FastifyInstance } from 'fastify';
import type { AddressOf } from '../address.ts';
import { openMemoryCounter } from './counters.ts';
import { rateLimited } from './rate-limit.ts';

const WINDOW_MS = 60_000;

/** The number of addresses of one scope that are counted at the same time. */
const MAX_ADDRESSES = 50_000;

/**
 * Limits every route of the scope to `max` requests a minute of one address. A refusal is `rate_limited`. Other responses
 * have no header fields about it, because they are the same for all callers, so that caches can share them.
 */
export function limitDocuments(scope: FastifyInstance, max: number, addressOf: AddressOf): void {
  const count = openMemoryCounter({ windowMs: WINDOW_MS, maxKeys: MAX_ADDRESSES });
  scope.addHook('onRequest', async ({ raw }) => {
    const { count: requests, endsInMs } = count(addressOf(raw), 1);
    if (requests > max) throw rateLimited(Math.ceil(endsInMs / 1000));
  });
}
