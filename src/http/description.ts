/**
 * Generates the machine-readable description of the API from the schemas of the routes (operation.ts), and serves a page
 * that shows it.
 */

import swagger, { type SwaggerTransform, type SwaggerTransformObject } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { type FastifyPluginAsyncZod, jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { type ErrorCode, WebdistError } from '../errors.ts';
import { version } from '../version.ts';
import { problemSchema } from './problems.ts';

/** Every operation can be refused by these. */
const ALWAYS: readonly ErrorCode[] = [
  'invalid_request',
  'request_timeout',
  'expectation_failed',
  'rate_limited',
  'headers_too_large',
  'internal_error',
];
/** And every operation with a body by these. */
const WITH_BODY: readonly ErrorCode[] = ['too_large', 'unsupported_media_type'];

const JSON_WEB_TOKEN = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } as const;
const securitySchemes = {
  apiKey: { type: 'http', scheme: 'bearer', description: 'A key of a server, one of `WEBDIST_API_KEYS`' },
  customer: { ...JSON_WEB_TOKEN, description: "The JWT of the website's sign-in (`WEBDIST_AUTH_JWKS_URL`)" },
  device: {
    type: 'oauth2',
    description: 'The access token of a device',
    flows: {
      authorizationCode: {
        authorizationUrl: '/oauth/authorize',
        tokenUrl: '/oauth/token',
        refreshUrl: '/oauth/token',
        scopes: {},
      },
    },
  },
} as const;

/** Registers `routes` with an instance and adds OpenAPI 3.1 at `/openapi.json` and a page at `/docs` that describe them. */
export async function describeApi(app: FastifyInstance, routes: FastifyPluginAsyncZod): Promise<FastifyInstance> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'webdist',
        description: 'Install verification tokens for iOS apps distributed from a website',
        version,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'pages and servers', description: 'Tokens, and evidence that they were used' },
        { name: 'devices', description: 'Restores, updates and access tokens' },
        { name: 'documents', description: 'For anyone; caches may keep them' },
        { name: 'operations', description: 'Health and metrics; for your own network' },
      ],
      components: { securitySchemes },
    },
    transform,
    transformObject: (document) => withoutInputs(jsonSchemaTransformObject(document)),
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger());
  await app.register(routes);
  await app.ready();
  return app;
}

const transform: SwaggerTransform = (document) =>
  jsonSchemaTransform({ ...document, schema: document.schema && operationOf(document.schema) });

function operationOf({ problems = [], described, ...schema }: FastifySchema): FastifySchema {
  const whole = { ...schema, ...described };
  const codes = new Set([...problems, ...ALWAYS, ...(whole.body === undefined ? [] : WITH_BODY)]);
  // What the route declares itself comes last: `/oauth/token` has another form of 400.
  return { ...whole, response: { ...problemResponses([...codes]), ...(whole.response as object) } };
}

/** One response for each status of these codes. */
function problemResponses(codes: readonly ErrorCode[]): object {
  const byStatus = Map.groupBy(
    codes.map((code) => new WebdistError(code, '')),
    ({ status }) => status,
  );
  return Object.fromEntries(
    [...byStatus].map(([status, errors]) => [
      status,
      {
        description: errors.map(({ code, title }) => `\`${code}\`: ${title}`).join('\n\n'),
        content: { 'application/problem+json': { schema: problemSchema } },
      },
    ]),
  );
}

type OpenApi = ReturnType<SwaggerTransformObject>;

/** Only responses have named schemas; the transform also names a form of each for requests. */
function withoutInputs(document: OpenApi): OpenApi {
  const { components } = document as { components?: { schemas?: Record<string, object> } };
  const outputs = Object.entries(components?.schemas ?? {}).filter(([name]) => !name.endsWith('Input'));
  return { ...document, components: { ...components, schemas: Object.fromEntries(outputs) } } as OpenApi;
}
