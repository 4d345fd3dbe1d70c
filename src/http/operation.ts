/**
 * Describes an operation, in addition to its schemas: the codes with which it can be refused, who may call it, and its
 * group. Only description.ts uses this; it has no effect on requests.
 */

import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';

declare module 'fastify' {
  interface FastifySchema {
    /** The codes with which the operation can be refused, besides those of its scope. */
    readonly problems?: readonly ErrorCode[];
    /**
     * Replaces the schemas above in the description, where these are less exact than the checks or responses of the
     * route.
     */
    readonly described?: { readonly body?: z.ZodType; readonly querystring?: z.ZodType; readonly response?: object };
  }
}

/** The kinds of credentials (OpenAPI 3.1 §4.8.27). */
export type SecurityScheme = 'apiKey' | 'customer' | 'device';

/** What the operations of one scope have in common. */
export type Common = {
  readonly tag: 'pages and servers' | 'devices' | 'documents' | 'operations';
  /** Any one of them is enough; `none` stands for a call without a credential. */
  readonly callers: readonly (SecurityScheme | 'none')[];
  readonly problems?: readonly ErrorCode[];
};

/** Describes every route that is added to the scope after this call. */
export function describeScope(scope: FastifyInstance, { tag, callers, problems = [] }: Common): void {
  const security = callers.map((caller) => (caller === 'none' ? {} : { [caller]: [] }));
  scope.addHook('onRoute', (route) => {
    const own = route.schema?.problems ?? [];
    route.schema = { tags: [tag], security, ...route.schema, problems: [...own, ...problems] };
  });
}
