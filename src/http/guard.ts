/** The hook of a protected scope, which identifies the caller of every request before anything else is done for it. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/**
 * Adds the hook to a scope. `identify` rejects with the refusal; it counts the request before it does anything that costs
 * much, such as verifying a credential. Returns a function that gives the identity, undefined before the hook has run.
 */
export function addGuard<Identity>(
  scope: FastifyInstance,
  identify: (request: FastifyRequest, reply: FastifyReply) => Promise<Identity>,
): (request: FastifyRequest) => Identity | undefined {
  scope.decorateRequest('identity', undefined);
  scope.addHook('onRequest', async (request, reply) => {
    request.setDecorator('identity', await identify(request, reply));
  });
  return (request) => request.getDecorator<Identity | undefined>('identity');
}
