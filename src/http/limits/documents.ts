/**
 * Limits the requests of one address to paths that issue no tokens: documents, the API's description and metrics.
 * @fastify/rate-limit counts them in this process. Tokens have limits of their own (rate-limit.ts). Health has no
 * limit, because the requests of a load balancer must never be refused.
 */

import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import type { AddressOf } from '../../address.ts';
import { rateLimited } from './rate-limit.ts';

const WINDOW_MS = 60_000;

/**
 * The number of addresses that are counted at the same time. Beyond that, those with the oldest last request are
 * forgotten.
 */
const MAX_ADDRESSES = 50_000;

/** Limits every route that is added to the scope after this call. A refusal is `rate_limited`, with `Retry-After`. */
export const limitDocuments = async (scope: FastifyInstance, max: number, addressOf: AddressOf): Promise<void> => {
  await scope.register(rateLimit, {
    max,
    timeWindow: WINDOW_MS,
    cache: MAX_ADDRESSES,
    keyGenerator: ({ raw }) => addressOf(raw),
    // Only refusals carry headers. Every other response is the same for all callers, so that caches can share it.
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    addHeadersOnExceeding: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    errorResponseBuilder: (_request, { ttl }) => rateLimited(Math.max(1, Math.ceil(ttl / 1000))),
  });
};
