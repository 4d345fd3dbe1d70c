/**
 * The hooks of a protected scope: identify the caller, count the request, and only then refuse it. Refused requests count,
 * too: otherwise a caller could try credentials without limit.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hookOf } from './hook.ts';

export type Limiter = (request: FastifyRequest, reply: FastifyReply) => void | Promise<void>;

export type Guard<Identity> = {
  /** Undefined before the caller was identified, and when it was refused. */
  identityOf(request: FastifyRequest): Identity | undefined;
  /** Adds the hooks to the scope, or to one inside it. */
  protect(scope: FastifyInstance, limit: Limiter): void;
};

/** `identify` throws or rejects with the refusal; it returns a promise only if there is something to wait for. */
export function openGuard<Identity>(
  scope: FastifyInstance,
  identify: (request: FastifyRequest) => Identity | Promise<Identity>,
): Guard<Identity> {
  scope.decorateRequest('identity', undefined);
  scope.decorateRequest('refusal', undefined);
  return {
    identityOf: (request) => request.getDecorator<Identity | undefined>('identity'),
    protect(inner, limit) {
      inner.addHook(
        'onRequest',
        hookOf((request) => {
          const keep = (identity: Identity) => request.setDecorator('identity', identity);
          const refuseLater = (refusal: unknown) => request.setDecorator('refusal', refusal);
          try {
            const identity = identify(request);
            if (identity instanceof Promise) return identity.then(keep, refuseLater);
            keep(identity);
          } catch (refusal) {
            refuseLater(refusal);
          }
        }),
      );
      inner.addHook('onRequest', hookOf(limit));
      inner.addHook('onRequest', (request, _reply, done) => done(request.getDecorator<Error | undefined>('refusal')));
    },
  };
}
