/**
 * The sandbox: a real HTTP server that simulates App Store Connect, and a simulated device, for trials and tests
 * (docs/sandbox.md). A service uses it through `settings`: to webdist it is only a base URL.
 */

import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { openHourlyLimit } from './apple/bearer.ts';
import { openCdn } from './apple/cdn.ts';
import { type JudgeRequest, judge, type Verdict } from './device/judge.ts';
import { openFaults } from './faults.ts';
import { openRequestLog } from './requests.ts';
import { buildSandboxServer } from './server.ts';
import { type ApiKey, ensureDistributionKey, openStore, type SandboxState } from './state.ts';

export type SandboxOptions = {
  /** Folder for its state and its distribution key; created if missing. */
  readonly dataDir: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** URL at which the service reaches it, without a trailing slash; default: host and port. */
  readonly baseUrl?: string;
  readonly log?: Logger;
  /** Milliseconds since 1970; default the real clock. */
  readonly now?: () => number;
  /** Requests per API key in a rolling hour; default 3500, as in Apple's example. */
  readonly requestsPerHour?: number;
};

/** An additional API key of the account, for tests. */
type SandboxKey = {
  readonly keyId: string;
  readonly privateKeyPem: string;
  readonly issuerId?: string | undefined;
};

/** A running sandbox. */
export interface Sandbox {
  /** URL at which the service reaches it, without a trailing slash. */
  readonly baseUrl: string;
  /** The settings that a service needs to use it, by name. They include a private key: never log them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly individualKey: SandboxKey;
  /** A key whose JWTs are refused: it is not valid for this API. */
  readonly inAppPurchaseKey: SandboxKey;
  /** The simulated device's verdict, as from `POST /_sandbox/device`. */
  device(request: JudgeRequest): Promise<Verdict>;
  /** Stops at once and closes open connections. The state stays in the data folder. */
  close(): Promise<void>;
}

/** Opens a sandbox. Throws `config_invalid` (address in use) and `state_invalid`. */
export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { port = 0, host = '127.0.0.1', now = Date.now, requestsPerHour = 3500 } = options;
  const dataDir = resolve(options.dataDir);
  const distributionKeyFile = ensureDistributionKey(dataDir);
  const store = openStore(dataDir);
  const closing = new AbortController();
  const server = buildSandboxServer({
    store,
    cdn: openCdn(),
    now,
    requestsPerHour,
    log: options.log,
    faults: openFaults(),
    requests: openRequestLog(),
    limit: openHourlyLimit(requestsPerHour, now),
    closing: closing.signal,
  });
  try {
    await server.listen({ port, host });
  } catch (cause) {
    throw new WebdistError('config_invalid', `The sandbox cannot listen on ${host}, port ${port}.`, { cause });
  }
  const baseUrl = options.baseUrl ?? addressOf(server.server.address());
  return {
    baseUrl,
    settings: settingsFor(baseUrl, distributionKeyFile, store.state),
    individualKey: apiKeyOf(store.state, 'individual'),
    inAppPurchaseKey: apiKeyOf(store.state, 'in-app-purchase'),
    device: async (request) => judge(request, store, now()),
    async close() {
      closing.abort();
      await server.close();
    },
  };
}

/** Formats settings as an env file: one `NAME=value` line each. */
export const settingsText = (settings: Sandbox['settings']): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

function settingsFor(baseUrl: string, distributionKeyFile: string, state: SandboxState): Record<string, string> {
  const apiKey = apiKeyOf(state, 'team');
  const app = state.apps[0];
  const linked = state.packages.find(({ appleItemId }) => appleItemId === app?.id);
  if (!app || !linked || !apiKey.issuerId) throw new WebdistError('state_invalid', 'The sandbox’s account has no app.');
  return {
    ASC_BASE_URL: baseUrl,
    ASC_KEY_ID: apiKey.keyId,
    ASC_ISSUER_ID: apiKey.issuerId,
    ASC_PRIVATE_KEY_B64: Buffer.from(apiKey.privateKeyPem).toString('base64'),
    WEBDIST_DOMAIN: new URL(linked.url).host,
    WEBDIST_APPLE_ITEM_ID: app.id,
    WEBDIST_BUNDLE_ID: app.bundleId,
    WEBDIST_KEY: pathToFileURL(distributionKeyFile).href,
    WEBDIST_PACKAGE_URL: linked.url,
    WEBDIST_PACKAGE_MANIFEST: `${baseUrl}/_sandbox/packages/${app.id}/manifest.json`,
    WEBDIST_APP_SHARE_URL: new URL('/trailmap', linked.url).href,
    WEBDIST_LICENSE_DYNAMIC_URL: new URL('/ald/license', linked.url).href,
    WEBDIST_LICENSE_RENEWAL_URL: new URL('/ald/renew', linked.url).href,
    WEBDIST_LICENSE_RESOLUTION_URL: new URL('/account/license', linked.url).href,
    WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: new URL('/ald/signing.cer', linked.url).href,
    WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: new URL('/ald/encryption.cer', linked.url).href,
  };
}

function apiKeyOf(state: SandboxState, kind: ApiKey['kind']): ApiKey {
  const key = state.apiKeys.find((apiKey) => apiKey.kind === kind);
  if (!key) throw new WebdistError('state_invalid', `The sandbox’s account has no ${kind} API key.`);
  return key;
}

function addressOf(bound: AddressInfo | string | null | undefined): string {
  if (!bound || typeof bound === 'string') throw new WebdistError('internal_error', 'The sandbox has no address.');
  const host = ['0.0.0.0', '::'].includes(bound.address) ? '127.0.0.1' : bound.address;
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`;
}
