/** Compares the responses of a server with its own description at `/openapi.json`. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { FastifyInstance } from 'fastify';

/** More responses of one kind show nothing new. */
const MAX_OF_A_KIND = 100;

type Response = {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
};
type Media = Readonly<Record<string, { readonly schema: object }>>;
type Operation = { readonly responses: Readonly<Record<string, { description: string; content?: Media }>> };
type Description = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
};

/** Records what `server` sends from now on; at most this many responses of each kind. */
export function recordResponses({ server }: FastifyInstance): readonly Response[] {
  const recorded: Response[] = [];
  const counts = new Map<string, number>();
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const sent = copyOf(response);
    response.once('finish', () => {
      const { method = '', url = '' } = request;
      const { body, headers } = sent();
      const [path = ''] = url.split('?', 1);
      const kind = `${method} ${path} ${response.statusCode}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      if ((counts.get(kind) ?? 0) > MAX_OF_A_KIND || counts.size > 10 * MAX_OF_A_KIND) return;
      const isZipped = headers['content-encoding'] !== undefined;
      recorded.push({
        method: method.toLowerCase(),
        path,
        status: response.statusCode,
        contentType: headers['content-type'],
        body: isZipped ? '' : body,
      });
    });
  });
  return recorded;
}

/** Copies what is written to a response; it is complete when the response has ended. */
function copyOf(response: ServerResponse) {
  const chunks: Buffer[] = [];
  let headers: Record<string, string> = {};
  const copy = (name: 'write' | 'end' | 'writeHead', keep: (args: unknown[]) => void) => {
    const original = response[name];
    const both = (...args: unknown[]) => {
      keep(args);
      return Reflect.apply(original, response, args);
    };
    Object.assign(response, { [name]: both });
  };
  const keepChunk = ([chunk]: unknown[]) => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk as string));
  };
  copy('write', keepChunk);
  copy('end', keepChunk);
  copy('writeHead', (args) => {
    headers = { ...(args.at(-1) as object) };
  });
  return () => ({
    body: Buffer.concat(chunks).toString(),
    headers: { ...response.getHeaders(), ...headers } as typeof headers,
  });
}

/** Returns how they differ from the description of `server`, which is the one with `/openapi.json`, if there is one. */
export async function violationsIn(server: FastifyInstance, responses: readonly Response[]): Promise<string[]> {
  if (responses.length === 0) return [];
  // Another address than the test's, because requests for documents count.
  const answer = await server.inject({ url: '/openapi.json', remoteAddress: '192.0.2.1' });
  if (answer.statusCode === 404) return [];
  const description: Description = answer.json();
  const violationIn = openDescription(description);
  return [...new Set(responses.flatMap((response) => violationIn(response) ?? []))];
}

/** Returns how a response differs from the description; undefined if it does not, or if its operation is not described. */
function openDescription({ paths, components }: Description): (response: Response) => string | undefined {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: 'openapi', components });
  const absolute = (schema: object) => JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi#/'));
  const templates = Object.keys(paths).filter((path) => path.includes('{'));
  const operationAt = (path: string) =>
    paths[path] ?? paths[templates.find((one) => new RegExp(`^${one.replace(/{\w+}/, '[^/]+')}$`).test(path)) ?? ''];
  const compiled = new Map<object, ReturnType<typeof ajv.compile>>();
  const validatorOf = (schema: object) => {
    const known = compiled.get(schema) ?? ajv.compile(absolute(schema));
    compiled.set(schema, known);
    return known;
  };
  return ({ method, path, status, contentType, body }) => {
    const operation = operationAt(path)?.[method];
    if (!operation) return undefined;
    const place = `${method} ${path} ${status}`;
    const described = operation.responses[status];
    if (!described) return `${place}: ${body}`;
    const { content, description } = described;
    if (!content) return body === '' ? undefined : `${place}: has a body`;
    const [type, media] = Object.entries(content).find(([type]) => contentType?.startsWith(type)) ?? [];
    if (!type || !media) return `${place}: ${contentType}`;
    if (!type.endsWith('json')) return undefined;
    const value = JSON.parse(body || 'null');
    const isValid = validatorOf(media.schema);
    if (value !== null && !isValid(value)) return `${place}: ${ajv.errorsText(isValid.errors)} ${body.slice(0, 200)}`;
    const isNamed = typeof value?.code !== 'string' || description.includes(value.code);
    return isNamed || path.startsWith('/health') || path.endsWith('yz') ? undefined : `${place}: code ${value.code}`;
  };
}
