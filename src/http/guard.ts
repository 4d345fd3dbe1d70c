/**
 * The hook of a protected scope: identify the caller, count the request, and only then refuse it. Refused requests count,
 * too: otherwise a caller could try credentials without limit.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Rejects with `rate_limited`. */
export type Limiter = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Identifies the callers of one scope. */
export type Guard<Identity> = {
  /** Undefined before the caller was identified, and when it was refused. */
  identityOf(request: FastifyRequest): Identity | undefined;
  /** Adds the hook to the scope, or to one inside it. */
  protect(scope: FastifyInstance, limit: Limiter): void;
};

/** `identify` rejects with the refusal. */
export function openGuard<Identity>(
  scope: FastifyInstance,
  identify: (request: FastifyRequest) => Promise<Identity>,
): Guard<Identity> {
  scope.decorateRequest('identity', undefined);
  return {
    identityOf: (request) => request.getDecorator<Identity | undefined>('identity'),
    protect(inner, limit) {
      inner.addHook('onRequest', async (request, reply) => {
        let refusal: unknown;
        try {
          request.setDecorator('identity', await identify(request));
        } catch (error) {
          refusal = error;
        }
        await limit(request, reply);
        if (refusal !== undefined) throw refusal;
      });
    },
  };
}
