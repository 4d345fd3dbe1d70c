/** Hooks that make a promise only when there is something to wait for: most have nothing, and a promise costs more than they do. */

import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';

type Work = (request: FastifyRequest, reply: FastifyReply) => void | Promise<void>;

/** A hook of work that may be over when it returns; what it throws, now or later, is the answer. */
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
