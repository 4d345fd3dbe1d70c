/**
 * Generates the machine-readable description of the API from the schemas of the routes (operation.ts), and serves a page
 * that shows it.
 */

import swagger, { type SwaggerTransform, type SwaggerTransformObject } from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { type FastifyPluginAsyncZod, jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { type ErrorCode, WebdistError } from '../errors.ts';
import { version } from '../version.ts';
import { type ApiDocument, apiPage } from './api-page.ts';
import { PAGE_POLICY } from './html.ts';
import { problemSchema } from './problems.ts';

/** The codes with which every operation can be refused. */
const ALWAYS: readonly ErrorCode[] = [
  'invalid_request',
  'request_timeout',
  'expectation_failed',
  'rate_limited',
  'headers_too_large',
  'internal_error',
];
/** Further codes for every operation with a body. */
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

/**
 * Registers `routes` with an instance and adds OpenAPI 3.1 at `/openapi.json` and a page at `/docs` that describe them.
 * `origin` is the origin of the service in the examples on the page.
 */
export async function describeApi(
  app: FastifyInstance,
  routes: FastifyPluginAsyncZod,
  origin: string,
): Promise<FastifyInstance> {
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
    transformObject: (document) =>
      withOptionalBodies(
        withoutInputs(jsonSchemaTransformObject(document) as Document),
      ) as ReturnType<SwaggerTransformObject>,
  });
  app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger());
  app.get('/docs', { schema: { hide: true } as object }, async (_request, reply) =>
    reply
      .headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': PAGE_POLICY })
      .send(apiPage(app.swagger() as ApiDocument, origin)),
  );
  await app.register(routes);
  await app.ready();
  return app;
}

const transform: SwaggerTransform = (document) =>
  jsonSchemaTransform({ ...document, schema: document.schema && operationOf(document.schema) });

function operationOf({ problems = [], described, ...schema }: FastifySchema): FastifySchema {
  const whole = { ...schema, ...described };
  const codes = new Set([...problems, ...ALWAYS, ...(whole.body === undefined ? [] : WITH_BODY)]);
  // Declarations of the route itself take precedence: `/oauth/token` has another form of 400.
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

/** The parts of the document that are changed. */
type Document = {
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, { requestBody?: RequestBody }>>>>;
};
type RequestBody = { required: boolean; readonly content: Readonly<Record<string, { readonly schema: object }>> };

/** Only responses have named schemas, but the transform also names one of each for requests. */
function withoutInputs(document: Document): Document {
  const outputs = Object.entries(document.components.schemas).filter(([name]) => !name.endsWith('Input'));
  return { ...document, components: { ...document.components, schemas: Object.fromEntries(outputs) } };
}

/** A missing body is read as an empty object (bodies.ts), so the body is optional if an empty object is valid. */
function withOptionalBodies(document: Document): Document {
  for (const { requestBody } of Object.values(document.paths).flatMap((path) => Object.values(path)))
    if (requestBody)
      requestBody.required = Object.values(requestBody.content).some(
        ({ schema }) => 'required' in schema || 'anyOf' in schema || 'oneOf' in schema,
      );
  return document;
}
