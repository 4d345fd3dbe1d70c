/**
 * The simulated App Store Connect API: every path and method it offers, and the order in which a request is refused
 * (docs/apple-facts.md §4).
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { SandboxStore } from '../state.ts';
import { listApps, listAppsQuery, readApp, readAppQuery } from './apps.ts';
import { type Allowance, checkBearer, type openHourlyLimit } from './bearer.ts';
import type { Cdn } from './cdn.ts';
import { addDomain, listDomains, listDomainsQuery, readDomain, readDomainQuery, removeDomain } from './domains.ts';
import { type AppleAnswer, AppleRefusal, type Call, errorAnswer, type QueryRules, readQuery } from './json-api.ts';
import {
  addKey,
  listKeys,
  listKeysQuery,
  readAppKey,
  readAppKeyLinkage,
  readKey,
  readKeyQuery,
  removeKey,
} from './keys.ts';
import {
  addPackage,
  listPackageFiles,
  listPackageVersions,
  listPackageVersionsQuery,
  listStoreVersions,
  listStoreVersionsQuery,
  pageQuery,
  readPackageFile,
  readStoreVersionPackage,
} from './package-resources.ts';

type Route = readonly [method: string, path: string, query: QueryRules, answer: (call: Call) => AppleAnswer];

const routes: readonly Route[] = [
  ['GET', '/v1/apps', listAppsQuery, listApps],
  ['GET', '/v1/apps/{id}', readAppQuery, readApp],
  ['GET', '/v1/apps/{id}/alternativeDistributionKey', readKeyQuery, readAppKey],
  ['GET', '/v1/apps/{id}/relationships/alternativeDistributionKey', {}, readAppKeyLinkage],
  ['POST', '/v1/alternativeDistributionKeys', {}, addKey],
  ['GET', '/v1/alternativeDistributionKeys', listKeysQuery, listKeys],
  ['GET', '/v1/alternativeDistributionKeys/{id}', readKeyQuery, readKey],
  ['DELETE', '/v1/alternativeDistributionKeys/{id}', {}, removeKey],
  ['POST', '/v1/alternativeDistributionDomains', {}, addDomain],
  ['GET', '/v1/alternativeDistributionDomains', listDomainsQuery, listDomains],
  ['GET', '/v1/alternativeDistributionDomains/{id}', readDomainQuery, readDomain],
  ['DELETE', '/v1/alternativeDistributionDomains/{id}', {}, removeDomain],
  ['GET', '/v1/apps/{id}/appStoreVersions', listStoreVersionsQuery, listStoreVersions],
  ['GET', '/v1/appStoreVersions/{id}/alternativeDistributionPackage', {}, readStoreVersionPackage],
  ['POST', '/v1/alternativeDistributionPackages', {}, addPackage],
  ['GET', '/v1/alternativeDistributionPackages/{id}/versions', listPackageVersionsQuery, listPackageVersions],
  ['GET', '/v1/alternativeDistributionPackageVersions/{id}/variants', pageQuery, listPackageFiles('variant')],
  ['GET', '/v1/alternativeDistributionPackageVersions/{id}/deltas', pageQuery, listPackageFiles('delta')],
  ['GET', '/v1/alternativeDistributionPackageVariants/{id}', {}, readPackageFile('variant')],
  ['GET', '/v1/alternativeDistributionPackageDeltas/{id}', {}, readPackageFile('delta')],
];

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

/** What `answerApple` needs. */
export type AppleDeps = {
  readonly store: SandboxStore;
  readonly cdn: Cdn;
  readonly limit: ReturnType<typeof openHourlyLimit>;
};

/** An answer, with the rest of the caller's hourly limit once the caller is known. */
export type MeteredAnswer = AppleAnswer & { readonly allowance?: Allowance | undefined };

/**
 * Answers one request. Refusals are answers, checked in this order: 401, 403, 429, 404, 405, 406, 415, then those of the
 * path itself. Throws only when the sandbox itself fails.
 */
export async function answerApple(request: AppleRequest, { limit, ...deps }: AppleDeps): Promise<MeteredAnswer> {
  let allowance: Allowance | undefined;
  try {
    const { keyId } = await checkBearer(
      { ...request, authorization: request.headers.authorization },
      deps.store.state.apiKeys,
    );
    allowance = limit.take(keyId);
    return { ...dispatch(request, deps), allowance };
  } catch (error) {
    if (!(error instanceof AppleRefusal)) throw error;
    const answer =
      error.status === 406
        ? { status: 406, body: error.message }
        : errorAnswer(error.status, error.code, error.message, error.source);
    return { ...answer, allowance };
  }
}

function dispatch(request: AppleRequest, { store, cdn }: Pick<AppleDeps, 'store' | 'cdn'>): AppleAnswer {
  const [path = '', query] = request.target.split('?', 2);
  const matches = routes.flatMap(([method, template, rules, answer]) => {
    const match = patternOf(template).exec(path);
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
  if (request.method === 'POST' && !isJson(request.headers['content-type'] ?? ''))
    throw new AppleRefusal(415, 'UNSUPPORTED_MEDIA_TYPE', 'The Content-Type must be application/json.');
  const { id, rules, answer } = route;
  return answer({ ...request, id, query: readQuery(new URLSearchParams(query), rules), store, cdn });
}

const patternOf = (template: string) => new RegExp(`^${template.replace('{id}', '(?<id>[^/]+)')}$`);

const isJson = (contentType: string) => contentType.split(';')[0]?.trim().toLowerCase() === 'application/json';

function acceptsJson(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const isRefused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return ['*/*', 'application/*', 'application/json'].includes(type) && !isRefused;
  });
}
