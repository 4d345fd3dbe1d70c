/** The dependencies that the protected scopes share. */

import type { FastifyInstance } from 'fastify';
import type { ServerDeps } from '../../service/service.ts';
import type { RateLimits } from '../limits/rate-limit.ts';
import type { SignIn } from '../sign-in.ts';

/** The inputs of the server, and what `buildServer` opens itself. */
export type ScopeDeps = ServerDeps & {
  /** The website's own sign-in, if it is configured. */
  readonly signIn: SignIn | undefined;
  /** Shared by all scopes, because an address has one limit for all its requests. */
  readonly limits: RateLimits;
  /** Makes a scope refuse requests while this process is overloaded (limits/overload.ts). */
  readonly refuseOverload: (scope: FastifyInstance) => void;
};
