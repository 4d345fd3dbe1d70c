/**
 * Every operation and parameter that Apple's OpenAPI document declares is answered, in the declared shape. The document is
 * Apple's and not in this repository; the test uses an extract of it where there is one.
 */

import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { APP, addKey, call, control, DOMAINS, domainEntity, outcome } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const EXTRACT = 'shared/apple/openapi-3.7.0-alternative-distribution.json';
const file = [`../${EXTRACT}`, `../../${EXTRACT}`].find(existsSync);

type Schema = {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  maximum?: number;
};
type Operation = {
  parameters?: { name: string; schema: Schema }[];
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
};
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

const document: Document = file ? JSON.parse(readFileSync(file, 'utf8')) : { paths: {}, components: { schemas: {} } };
const skip = file ? false : `there is no extract of Apple's document at ../${EXTRACT}`;

/** Where a value differs from its schema; formats are not checked. */
function violations(value: unknown, schema: Schema | undefined, place: string): string[] {
  if (schema?.$ref) return violations(value, document.components.schemas[schema.$ref.split('/').at(-1) ?? ''], place);
  // Apple sends null for attributes that are not set; its document does not mention it.
  if (!schema || (value === null && place.includes('/attributes/'))) return [];
  if (schema.enum && !schema.enum.includes(value)) return [`${place}: ${JSON.stringify(value)}`];
  const type = Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  if (schema.type && schema.type !== type) return [`${place}: ${type} instead of ${schema.type}`];
  if (Array.isArray(value)) return value.flatMap((item, n) => violations(item, schema.items, `${place}/${n}`));
  if (type !== 'object') return [];
  const members = value as Record<string, unknown>;
  return [
    ...(schema.required ?? []).filter((name) => !(name in members)).map((name) => `${place}: no ${name}`),
    ...Object.entries(schema.properties ?? {})
      .filter(([name]) => name in members)
      .flatMap(([name, inner]) => violations(members[name], inner, `${place}/${name}`)),
  ];
}

/** Values that a parameter must accept; one with all fields is enough, because there are hundreds. */
function valuesOf(name: string, { type, items, maximum }: Schema): string[] {
  if (type === 'boolean') return ['true', 'false'];
  if (type === 'integer') return ['1', String(maximum)];
  const allowed = (items?.enum ?? ['something', 'a,b']) as string[];
  return name.startsWith('fields') ? [allowed.join(',')] : [...allowed, allowed.join(',')];
}

/** One id of each type, from a sandbox with a key, a domain and two versions. */
async function idsIn(sandbox: Sandbox): Promise<Record<string, string>> {
  await control(sandbox, 'POST', 'packages');
  const { id: key } = await addKey(sandbox);
  const { id: domain } = (await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'))).body.data;
  const idAt = async (path: string) => {
    const { data } = (await call(sandbox, 'GET', path)).body;
    return (Array.isArray(data) ? data.at(-1) : data)?.id ?? '';
  };
  const version = await idAt(`/v1/apps/${APP}/appStoreVersions`);
  const adp = await idAt(`/v1/appStoreVersions/${version}/alternativeDistributionPackage`);
  const adpVersion = await idAt(`/v1/alternativeDistributionPackages/${adp}/versions`);
  return {
    apps: APP,
    appStoreVersions: version,
    alternativeDistributionKeys: key,
    alternativeDistributionDomains: domain,
    alternativeDistributionPackages: adp,
    alternativeDistributionPackageVersions: adpVersion,
    alternativeDistributionPackageVariants: await idAt(
      `/v1/alternativeDistributionPackageVersions/${adpVersion}/variants`,
    ),
    alternativeDistributionPackageDeltas: await idAt(`/v1/alternativeDistributionPackageVersions/${adpVersion}/deltas`),
  };
}

t.test('every read, with every value of every parameter', { skip }, async (t) => {
  const sandbox = await startSandbox(t, { requestsPerHour: 100_000 });
  const ids = await idsIn(sandbox);
  for (const [path, { get }] of Object.entries(document.paths)) {
    if (!get) continue;
    const target = path.replace('{id}', ids[path.split('/')[2] ?? ''] ?? '');
    const schema = get.responses['200']?.content?.['application/json']?.schema;
    const queries = [
      '',
      ...(get.parameters ?? []).flatMap(({ name, schema }) =>
        valuesOf(name, schema).map((value) => `?${name}=${value}`),
      ),
    ];
    const found = new Set<string>();
    for (const query of queries) {
      const answer = await call(sandbox, 'GET', target + query);
      if (answer.status !== 200) found.add(`${query}: ${outcome(answer)}`);
      else for (const violation of violations(answer.body, schema, '')) found.add(`${query} ${violation}`);
    }
    t.strictSame([...found], [], `GET ${path}, ${queries.length} queries`);
    t.equal(outcome(await call(sandbox, 'GET', `${target}?nothing=1`)), '400 PARAMETER_ERROR.ILLEGAL', path);
    for (const { name, schema } of get.parameters ?? [])
      if (schema.maximum)
        t.equal(
          outcome(await call(sandbox, 'GET', `${target}?${name}=${schema.maximum + 1}`)),
          '400 PARAMETER_ERROR.INVALID',
        );
  }
});

t.test('every method of every path exists, and errors have the declared shape', { skip }, async (t) => {
  const sandbox = await startSandbox(t);
  for (const [path, operations] of Object.entries(document.paths))
    for (const method of Object.keys(operations).filter((name) => name !== 'parameters')) {
      const answer = await call(
        sandbox,
        method.toUpperCase(),
        path.replace('{id}', 'none'),
        method === 'get' ? undefined : {},
      );
      t.notMatch(outcome(answer), /PATH_ERROR|METHOD_NOT_ALLOWED/, `${method} ${path}`);
      const schema = operations[method]?.responses[answer.status]?.content?.['application/json']?.schema;
      t.ok(operations[method]?.responses[answer.status], `${method} ${path}: ${answer.status} is declared`);
      t.strictSame(violations(answer.body, schema, ''), [], `${method} ${path}`);
    }
});
