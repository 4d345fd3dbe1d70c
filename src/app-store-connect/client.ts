/**
 * The part of the App Store Connect API that web distribution needs (docs/apple-facts.md §4): apps, alternative
 * distribution keys, domains and packages. To add an endpoint, add a method here and its resource to `resources.ts`.
 */

import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { fingerprint, publicKeyPem, type Signer, spki } from '../jws.ts';
import { apiTokenSource } from './api-token.ts';
import { ascError } from './classify.ts';
import { defaultRetryPolicy, openHttp, type RequestAttempt, type RetryPolicy } from './http.ts';
import { openJsonApi } from './json-api.ts';
import { openObservations, type RateLimit } from './observations.ts';
import { type AppPackages, openPackages } from './packages.ts';
import { type App, keyReader, type RegisteredDomain, type RegisteredKey, readApp, readDomain } from './resources.ts';

/** Every method throws a WebdistError `asc_…` (see `classify.ts`), or `signer_unavailable` from the API key. */
export interface AppStoreConnect {
  /** Returns the apps with exactly these bundle ids. Apple's filter may return others, which are omitted. */
  findApps(...bundleIds: readonly string[]): Promise<App[]>;
  /** Returns every app that the API key has access to. */
  listApps(): Promise<App[]>;
  /** Returns the app's own key, whose id is the `kid` of its tokens; null if it has none. */
  appKey(appleItemId: string): Promise<RegisteredKey | null>;
  /**
   * Returns every key. With `app`, returns only the keys that belong to one app (true) or to the whole account (false).
   */
  listKeys(filter?: { readonly app?: boolean | undefined }): Promise<RegisteredKey[]>;
  readKey(id: string): Promise<RegisteredKey>;
  /**
   * Registers a public half for one app, or for the whole account without `appleItemId`. Never retried. Throws
   * `different_key_registered` if the response has another public half, under whose id nothing must be signed.
   */
  addKey(key: { readonly publicKey: KeyObject; readonly appleItemId?: string | undefined }): Promise<RegisteredKey>;
  /** Also succeeds if the response was lost but the key is gone. Throws `asc_not_found` if there is no such key. */
  removeKey(id: string): Promise<void>;
  listDomains(): Promise<RegisteredDomain[]>;
  readDomain(id: string): Promise<RegisteredDomain>;
  addDomain(domain: { readonly domain: string; readonly referenceName: string }): Promise<RegisteredDomain>;
  removeDomain(id: string): Promise<void>;
  readonly packages: AppPackages;
  /** Apple's clock minus this machine's, in seconds: the median of the last responses. Undefined until it is known. */
  readonly clockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Aborts requests in flight with `shutting_down`. Does not close the signer, which belongs to the caller. */
  close(): void;
}

export type AppStoreConnectOptions = {
  /** Apple's is `https://api.appstoreconnect.apple.com`. The bearer JWT is sent to this origin and nowhere else. */
  readonly baseUrl: string;
  readonly keyId: string;
  /** Absent for an individual key. */
  readonly issuerId?: string | undefined;
  /** The API key's private half. */
  readonly signer: Pick<Signer, 'backend' | 'sign'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds. When this machine's clock is set, this changes by the same amount (see `Clock.timeOriginMs`). */
  readonly timeOriginMs?: () => number;
  /** Called after each attempt of a request. */
  readonly onAttempt?: ((attempt: RequestAttempt) => void) | undefined;
  readonly retryPolicy?: Partial<RetryPolicy>;
};

/** Keeps a URL below 8 kB, which servers and proxies commonly accept. */
const IDS_PER_FILTER = 100;

const KEYS = 'alternativeDistributionKeys';
const DOMAINS = 'alternativeDistributionDomains';

/** Opens a client; sends nothing yet. Throws `config_invalid` when `baseUrl` is not an http(s) URL. */
export function openAppStoreConnect(options: AppStoreConnectOptions): AppStoreConnect {
  const { keyId, issuerId, signer, log, now = Date.now, onAttempt } = options;
  const { timeOriginMs = () => Date.now() - performance.now() } = options;
  const retryPolicy = { ...defaultRetryPolicy, ...options.retryPolicy };
  const observations = openObservations(now, log, timeOriginMs);
  const apiTokens = apiTokenSource({ signer, keyId, issuerId, nowSeconds: observations.nowSeconds });
  const send = openHttp({ apiTokens, observations, log, retryPolicy, onAttempt });
  const closing = new AbortController();
  const deadline = () => AbortSignal.any([closing.signal, AbortSignal.timeout(retryPolicy.totalTimeoutMs)]);
  const api = openJsonApi({ baseUrl: options.baseUrl, send, deadline });

  const readKey = keyReader(log);
  const keyFields = { [`fields[${KEYS}]`]: 'publicKey' };
  const domainFields = { [`fields[${DOMAINS}]`]: 'domain,referenceName,createdDate' };

  return {
    async findApps(...bundleIds) {
      const found: App[] = [];
      for (let from = 0; from < bundleIds.length; from += IDS_PER_FILTER) {
        const filter = bundleIds.slice(from, from + IDS_PER_FILTER).join(',');
        found.push(
          ...(await api.list(readApp, 'apps', { 'filter[bundleId]': filter, 'fields[apps]': 'bundleId,name' })),
        );
      }
      return found.filter((app) => bundleIds.includes(app.bundleId));
    },
    listApps: () => api.list(readApp, 'apps', { 'fields[apps]': 'bundleId,name' }),
    appKey: (appleItemId) => api.read(readKey, ['apps', appleItemId, 'alternativeDistributionKey'], keyFields),
    listKeys: ({ app } = {}) =>
      api.list(readKey, KEYS, { ...keyFields, ...(app !== undefined && { 'exists[app]': String(app) }) }),
    readKey: async (id) => present(await api.read(readKey, [KEYS, id], keyFields), 'key', id),
    async addKey({ publicKey, appleItemId }) {
      const attributes = { publicKey: publicKeyPem(publicKey) };
      const relationships = { app: { data: { type: 'apps', id: appleItemId } } };
      const added = await api.add(readKey, KEYS, { attributes, ...(appleItemId && { relationships }) });
      if (added.spki !== spki(publicKey)) throw otherHalf(added, publicKey);
      return added;
    },
    removeKey: (id) => api.remove(KEYS, id),
    listDomains: () => api.list(readDomain, DOMAINS, domainFields),
    readDomain: async (id) => present(await api.read(readDomain, [DOMAINS, id], domainFields), 'domain', id),
    addDomain: ({ domain, referenceName }) => api.add(readDomain, DOMAINS, { attributes: { domain, referenceName } }),
    removeDomain: (id) => api.remove(DOMAINS, id),
    packages: openPackages(api, options.baseUrl),
    get clockOffsetSeconds() {
      return observations.clockOffsetSeconds;
    },
    get rateLimit() {
      return observations.rateLimit;
    },
    close() {
      closing.abort(new WebdistError('shutting_down', 'The App Store Connect client was closed.'));
    },
  };
}

function present<T>(found: T | null, what: string, id: string): T {
  if (found === null) throw ascError('asc_not_found', `App Store Connect has no ${what} with the id ${id}.`);
  return found;
}

const otherHalf = (added: RegisteredKey, sent: KeyObject) =>
  new WebdistError(
    'different_key_registered',
    `App Store Connect registered ${added.spki ? fingerprint(added.spki) : 'a key that cannot be read'} (id ${added.id}) instead of ${fingerprint(spki(sent))}.`,
    { hint: 'Check `webdist keys list`, and remove that key with `webdist keys remove` if it is not yours.' },
  );
