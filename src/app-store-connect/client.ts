/**
 * The part of the App Store Connect API that web distribution needs, typed and narrow (docs/apple-facts.md §4): apps,
 * alternative distribution keys and domains.
 */

import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { publicKeyPem, type Signer } from '../jws.ts';
import { apiTokenSource } from './api-token.ts';
import { ascError } from './classify.ts';
import { defaultPatience, type Observed, openHttp, type Patience, type RateLimit, type SeenResponse } from './http.ts';
import { openJsonApi } from './json-api.ts';
import { type AppPackages, openPackages } from './packages.ts';
import { type App, keyReader, type RegisteredDomain, type RegisteredKey, readApp, readDomain } from './resources.ts';

/** Every method throws a WebdistError `asc_…` (see `classify.ts`), or `signer_unavailable` from the API key. */
export interface AppStoreConnect {
  /** Apps whose bundle id is exactly this one; Apple's filter may give more, they are left out. */
  findApps(bundleId: string): Promise<App[]>;
  /** All pages: every app the API key may see. */
  listApps(): Promise<App[]>;
  /** The key of the app, the source of `kid`; null when it has none. */
  appKey(appleItemId: string): Promise<RegisteredKey | null>;
  /** All pages; with `app` only the keys that do (true) or do not (false) belong to one app. */
  listKeys(filter?: { readonly app?: boolean | undefined }): Promise<RegisteredKey[]>;
  readKey(id: string): Promise<RegisteredKey>;
  /** Registers a public half for one app, or account-wide without `appleItemId`. Never repeated by itself. */
  addKey(key: { readonly publicKey: KeyObject; readonly appleItemId?: string | undefined }): Promise<RegisteredKey>;
  /** Done also when the answer got lost but the key is gone. */
  removeKey(id: string): Promise<void>;
  listDomains(): Promise<RegisteredDomain[]>;
  readDomain(id: string): Promise<RegisteredDomain>;
  addDomain(domain: { readonly domain: string; readonly referenceName: string }): Promise<RegisteredDomain>;
  removeDomain(id: string): Promise<void>;
  /** Alternative distribution packages. */
  readonly packages: AppPackages;
  /** Apple's clock minus this machine's, from the last answer; undefined before the first. */
  readonly clockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Ends what is under way with `shutting_down`. The signer stays open: it is the caller's. */
  close(): void;
}

export type AppStoreConnectOptions = {
  /** Apple's is `https://api.appstoreconnect.apple.com`; the bearer JWT goes to this origin and nowhere else. */
  readonly baseUrl: string;
  readonly keyId: string;
  /** Absent for an individual key. */
  readonly issuerId?: string | undefined;
  /** The API key's private half. */
  readonly signer: Pick<Signer, 'backend' | 'sign'>;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly onResponse?: ((seen: SeenResponse) => void) | undefined;
  readonly patience?: Partial<Patience>;
};

const KEYS = 'alternativeDistributionKeys';
const DOMAINS = 'alternativeDistributionDomains';

/** Makes a client; sends nothing yet. Throws `config_invalid` when the address is not an http(s) one. */
export function openAppStoreConnect(options: AppStoreConnectOptions): AppStoreConnect {
  const { keyId, issuerId, signer, log, now = Date.now, onResponse } = options;
  const patience = { ...defaultPatience, ...options.patience };
  const observed: Observed = { clockOffsetSeconds: undefined, rateLimit: undefined };
  const nowSeconds = () => now() / 1000 + (observed.clockOffsetSeconds ?? 0);
  const apiTokens = apiTokenSource({ signer, keyId, issuerId, nowSeconds });
  const send = openHttp({ apiTokens, observed, log, now, patience, onResponse });
  const closing = new AbortController();
  const deadline = () => AbortSignal.any([closing.signal, AbortSignal.timeout(patience.totalTimeoutMs)]);
  const api = openJsonApi({ baseUrl: options.baseUrl, send, deadline });

  const readKey = keyReader(log);
  const keyFields = { [`fields[${KEYS}]`]: 'publicKey' };
  const domainFields = { [`fields[${DOMAINS}]`]: 'domain,referenceName,createdDate' };

  return {
    async findApps(bundleId) {
      const found = await api.list(readApp, 'apps', { 'filter[bundleId]': bundleId, 'fields[apps]': 'bundleId,name' });
      return found.filter((app) => app.bundleId === bundleId);
    },
    listApps: () => api.list(readApp, 'apps', { 'fields[apps]': 'bundleId,name' }),
    appKey: (appleItemId) => api.read(readKey, ['apps', appleItemId, 'alternativeDistributionKey'], keyFields),
    listKeys: ({ app } = {}) =>
      api.list(readKey, KEYS, { ...keyFields, ...(app !== undefined && { 'exists[app]': String(app) }) }),
    readKey: async (id) => present(await api.read(readKey, [KEYS, id], keyFields), 'key', id),
    addKey({ publicKey, appleItemId }) {
      const attributes = { publicKey: publicKeyPem(publicKey) };
      const relationships = { app: { data: { type: 'apps', id: appleItemId } } };
      return api.add(readKey, KEYS, { attributes, ...(appleItemId && { relationships }) });
    },
    removeKey: (id) => api.remove(KEYS, id),
    listDomains: () => api.list(readDomain, DOMAINS, domainFields),
    readDomain: async (id) => present(await api.read(readDomain, [DOMAINS, id], domainFields), 'domain', id),
    addDomain: ({ domain, referenceName }) => api.add(readDomain, DOMAINS, { attributes: { domain, referenceName } }),
    removeDomain: (id) => api.remove(DOMAINS, id),
    packages: openPackages(api),
    get clockOffsetSeconds() {
      return observed.clockOffsetSeconds;
    },
    get rateLimit() {
      return observed.rateLimit;
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
