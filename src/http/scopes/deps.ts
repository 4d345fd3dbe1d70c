/** What the protected scopes have in common. */

import type { FastifyInstance } from 'fastify';
import type { ServerDeps } from '../../service/service.ts';
import type { RateLimits } from '../limits/rate-limit.ts';
import type { SignIn } from '../sign-in.ts';

/** What the server is built from, and what `buildServer` opens itself. */
export type ScopeDeps = ServerDeps & {
  /** The website's own sign-in, when it is configured. */
  readonly signIn: SignIn | undefined;
  /** Shared by all scopes: an address has one limit, whatever it requests. */
  readonly limits: RateLimits;
  /** Makes a scope refuse requests while this process has too much to do (limits/overload.ts). */
  readonly refuseOverload: (scope: FastifyInstance) => void;
};
