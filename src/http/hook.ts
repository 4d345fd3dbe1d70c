/** A hook for work that is usually synchronous: it waits for a promise only if there is one. */

import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';

type Work = (request: FastifyRequest, reply: FastifyReply) => void | Promise<void>;

/** What `work` throws or rejects with is the response. */
export const hookOf =
  (work: Work): onRequestHookHandler =>
  (request, reply, done) => {
    let waiting: void | Promise<void>;
    try {
      waiting = work(request, reply);
    } catch (error) {
      return done(error as Error);
    }
    if (waiting) waiting.then(() => done(), done);
    else done();
  };
