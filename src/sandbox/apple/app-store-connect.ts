/**
 * The simulated App Store Connect API: its paths and methods, and the order of the checks that can refuse a request
 * (docs/apple-facts.md §4).
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { SandboxStore } from '../state.ts';
import { type Allowance, checkBearer, type openHourlyLimit } from './bearer.ts';
import type { Cdn } from './cdn.ts';
import { linkage, list, named, notFound, single } from './documents.ts';
import { domainWrites } from './domains.ts';
import { type Entity, entitiesOf } from './entities.ts';
import { type AppleAnswer, AppleRefusal, type Call, errorAnswer, type Write } from './json-api.ts';
import { keyWrites } from './keys.ts';
import { packageWrites } from './package-resources.ts';
import { listRules, pageRules, type QueryRules, readQuery, resourceRules } from './query.ts';
import { type Relationship, type ResourceType, resourceTypes, type TypeName } from './resource-types.ts';

/** A path without rules for its query accepts every parameter. */
type Route = readonly [
  method: string,
  path: string,
  query: QueryRules | undefined,
  answer: (call: Call) => AppleAnswer,
];

const routes: readonly Route[] = [
  ...[...keyWrites, ...domainWrites, ...packageWrites].map(writeRoute),
  ...(Object.entries(resourceTypes) as [TypeName, ResourceType][]).flatMap(([type, row]) => readsOf(type, row)),
];

/** The routes, with the pattern of each one's path. */
const patterned = routes.map(([method, template, rules, answer]) => ({
  method,
  pattern: new RegExp(`^${template.replace('{id}', '(?<id>[^/]+)')}$`),
  rules,
  answer,
}));

function writeRoute([method, type, answer]: Write): Route {
  return method === 'POST'
    ? [method, `/v1/${type}`, {}, answer]
    : [method, `/v1/${type}/{id}`, {}, existing(type, answer)];
}

/** The routes that read one resource of a type, all of them, and their relationships. */
function readsOf(type: TypeName, { isListed, relationships, empty }: ResourceType): Route[] {
  const one: Route = ['GET', `/v1/${type}/{id}`, resourceRules(type), (call) => single(call, named(call, type))];
  const all: Route = ['GET', `/v1/${type}`, listRules(type, true), (call) => list(call, entitiesOf(call, type))];
  const below = Object.entries(relationships).filter(([, { hasPath }]) => hasPath);
  return [
    ...(isListed ? [all] : []),
    one,
    ...below.flatMap((entry) => relatedReads(type, ...entry)),
    ...[...(empty?.one ?? []), ...(empty?.unlisted ?? [])].flatMap((name) => emptyReads(type, name, notFound)),
    ...(empty?.many ?? []).flatMap((name) => emptyReads(type, name, (call) => list(call, []))),
  ];
}

/** The route of a relationship to resources that this sandbox does not have. */
function emptyReads(type: TypeName, name: string, answer: (call: Call, what: string) => AppleAnswer): Route[] {
  const read = existing(type, (call) => answer(call, name));
  return [
    ['GET', `/v1/${type}/{id}/${name}`, undefined, read],
    ['GET', `/v1/${type}/{id}/relationships/${name}`, undefined, read],
  ];
}

function relatedReads(type: TypeName, name: string, relationship: Relationship): Route[] {
  const related = (call: Call): readonly Entity[] => named(call, type).related(name);
  const path = `/v1/${type}/{id}`;
  const links: Route = [
    'GET',
    `${path}/relationships/${name}`,
    relationship.isMany ? pageRules : {},
    (call) => linkage(call, named(call, type), name, relationship),
  ];
  const resources: Route = relationship.isMany
    ? ['GET', `${path}/${name}`, listRules(relationship.type, false), (call) => list(call, related(call))]
    : [
        'GET',
        `${path}/${name}`,
        resourceRules(relationship.type),
        (call) => single(call, related(call)[0] ?? notFound(call, name)),
      ];
  return [links, resources];
}

/** Answers 404 unless the resource in the path exists. */
function existing(type: TypeName, answer: (call: Call) => AppleAnswer) {
  return (call: Call): AppleAnswer => {
    named(call, type);
    return answer(call);
  };
}

/** One request as received. */
export type AppleRequest = {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  readonly origin: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Milliseconds since 1970 by the simulated clock. */
  readonly nowMs: number;
};

/** The header with warnings about requests that Apple accepts although they differ from its documentation. */
export const WARNING_HEADER = 'x-sandbox-warning';

/** What `answerApple` needs. */
export type AppleDeps = {
  readonly store: SandboxStore;
  readonly cdn: Cdn;
  readonly limit: ReturnType<typeof openHourlyLimit>;
};

/** An answer, with the rest of the caller's hourly limit if the caller is known. */
export type MeteredAnswer = AppleAnswer & { readonly allowance?: Allowance | undefined };

/**
 * Answers one request. Refusals are answers, in this order: 401, 403, 429, 404, 405, 406, 415, then those of the path
 * itself. Throws only if the sandbox itself fails.
 */
export async function answerApple(request: AppleRequest, { limit, ...deps }: AppleDeps): Promise<MeteredAnswer> {
  let allowance: Allowance | undefined;
  try {
    const { key, warning } = await checkBearer(
      { ...request, authorization: request.headers.authorization },
      deps.store.state.apiKeys,
    );
    allowance = limit.take(key.keyId);
    const answer = dispatch(request, key.team, deps);
    return { ...answer, headers: { ...answer.headers, ...(warning && { [WARNING_HEADER]: warning }) }, allowance };
  } catch (error) {
    if (!(error instanceof AppleRefusal)) throw error;
    const answer =
      error.status === 406
        ? { status: 406, body: error.message }
        : errorAnswer(error.status, error.code, error.message, error.source);
    return { ...answer, allowance };
  }
}

function dispatch(request: AppleRequest, team: string, deps: Pick<AppleDeps, 'store' | 'cdn'>): AppleAnswer {
  const [path = '', query] = request.target.split('?', 2);
  const matches = patterned.flatMap(({ method, pattern, rules, answer }) => {
    const match = pattern.exec(path);
    return match ? [{ method, rules, answer, id: match.groups?.['id'] ?? '' }] : [];
  });
  if (matches.length === 0) throw new AppleRefusal(404, 'PATH_ERROR', `The path '${path}' does not exist in this API.`);
  const route = matches.find(({ method }) => method === request.method);
  if (!route)
    throw new AppleRefusal(
      405,
      'METHOD_NOT_ALLOWED',
      `The method ${request.method} is not allowed for the path '${path}'.`,
    );
  if (!acceptsJson(request.headers.accept ?? '*/*'))
    throw new AppleRefusal(406, 'NOT_ACCEPTABLE', 'Not Acceptable: this API returns application/json.');
  if (['POST', 'PATCH'].includes(request.method) && !isJson(request.headers['content-type'] ?? ''))
    throw new AppleRefusal(415, 'UNSUPPORTED_MEDIA_TYPE', 'The Content-Type must be application/json.');
  const { id, rules, answer } = route;
  const parameters = new URLSearchParams(query);
  return answer({ ...request, id, team, query: rules ? readQuery(parameters, rules) : new Map(), ...deps });
}

const isJson = (contentType: string) => contentType.split(';')[0]?.trim().toLowerCase() === 'application/json';

function acceptsJson(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const isRefused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return ['*/*', 'application/*', 'application/json'].includes(type) && !isRefused;
  });
}
