/** The dependencies that the protected scopes share. */

import type { FastifyInstance } from 'fastify';
import type { AddressOf } from '../../address.ts';
import type { ApiKey } from '../../config/api-keys.ts';
import type { ServerDeps } from '../../service/service.ts';
import type { RateLimits } from '../limits/rate-limit.ts';
import type { SignIn } from '../sign-in.ts';

/** The inputs of the server, and what `buildServer` opens itself. */
export type ScopeDeps = ServerDeps & {
  /** The website's own sign-in, if it is configured. */
  readonly signIn: SignIn | undefined;
  /** The API keys that are valid now; they can change while the service runs. */
  readonly apiKeys: () => readonly ApiKey[];
  /** Shared by all scopes, because an address has one limit for all its requests. */
  readonly limits: RateLimits;
  /** Limits the requests of one address to the routes that are added later; for routes that issue no tokens. */
  readonly limitRequests: (scope: FastifyInstance) => Promise<void>;
  readonly addressOf: AddressOf;
  /** Makes a scope refuse requests while this process is overloaded (limits/overload.ts). */
  readonly refuseOverload: (scope: FastifyInstance) => void;
};
