/** The hook of a protected scope. It identifies the caller of every request before any other work. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/**
 * Adds the hook to a scope. `identify` rejects with the refusal. It must count the request before any costly work, such
 * as verifying a credential. Returns a function that returns the identity, or undefined before the hook has run.
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
