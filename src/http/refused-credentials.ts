/** Logs refused API keys, sign-ins and access tokens with the caller's address, so that guessing is noticed. */

import type { FastifyInstance } from 'fastify';
import type { AddressOf } from '../address.ts';
import { hasCode } from '../errors.ts';
import type { ServerDeps } from '../service/service.ts';
import { openMemoryCounter } from './limits/counters.ts';

const WINDOW_MS = 60_000;
const MAX_ADDRESSES = 10_000;
/** Lines of the audit log for one address in a minute. */
const MAX_AUDITED = 10;

/** Counts the refusals of an address in a minute. Only the first is logged, and ten are in the audit log. */
export const openRefusals = (nowMs?: () => number) =>
  openMemoryCounter({ windowMs: WINDOW_MS, maxKeys: MAX_ADDRESSES, ...(nowMs && { nowMs }) });

/** Logs at most one line per address a minute, because a line per guess would add load. Credentials are never logged. */
export function logRefusedCredentials(
  instance: FastifyInstance,
  addressOf: AddressOf,
  countRefusal: ReturnType<typeof openRefusals>,
  audit: ServerDeps['audit'],
): void {
  instance.addHook('onError', async (request, _reply, error) => {
    if (request.headers.authorization === undefined) return;
    // A device gets `forbidden` for an access token that is not valid (authorize-device.ts).
    if (!hasCode(error, 'unauthorized') && !hasCode(error.cause, 'unauthorized')) return;
    const address = addressOf(request.raw);
    const route = request.routeOptions.url;
    const { count } = countRefusal(address, 1);
    if (count <= MAX_AUDITED) audit?.record({ event: 'credential_refused', address, route });
    if (count > 1) return;
    request.log.warn(
      { reqId: request.id, event: 'credential_refused', address, route },
      'a credential was refused; other refusals of this address are not logged for a minute',
    );
  });
}
