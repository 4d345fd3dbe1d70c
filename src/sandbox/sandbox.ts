/**
 * The sandbox: a real HTTP server that plays App Store Connect, and an iPhone beside it, for trying webdist out and
 * for tests. To webdist it is a base address and nothing more: whoever is to use it gets `settings`.
 */

import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { openHourlyLimit } from './apple/bearer.ts';
import { openCdn } from './apple/cdn.ts';
import { type DeviceRequest, judge, type Verdict } from './device/device.ts';
import { openFaults } from './faults.ts';
import { openRequestLog } from './requests.ts';
import { buildServer } from './server.ts';
import { type ApiKey, ensureDistributionKey, openStore, type State } from './state.ts';

export type SandboxOptions = {
  /** Folder of its state and its distribution key; made when it is not there. */
  readonly dataDir: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Address under which the service reaches it, without a slash at the end; default: host and port. */
  readonly baseUrl?: string;
  readonly log?: Logger;
  /** Milliseconds since 1970; default the real clock. */
  readonly now?: () => number;
  /** Whether NODE_ENV is production: then it refuses, unless it was started by its own command. */
  readonly production?: boolean;
  readonly ownCommand?: boolean;
  /** Requests each API key may make in a rolling hour; default 3500, as in Apple's example. */
  readonly requestsPerHour?: number;
};

/** An API key the account has beside its team key, for tests. */
type SandboxKey = {
  readonly keyId: string;
  readonly privateKeyPem: string;
  readonly issuerId?: string | undefined;
};

/** A running sandbox. */
export interface Sandbox {
  /** Address as the service sees it, without a slash at the end. */
  readonly baseUrl: string;
  /** What a service needs to use it, by the names of its settings. Holds a private key: never log it. */
  readonly settings: Readonly<Record<string, string>>;
  readonly individualKey: SandboxKey;
  /** A key whose tokens are refused, since it is not for this API. */
  readonly inAppPurchaseKey: SandboxKey;
  /** What the simulated device says; the same as `POST /_sandbox/device`. */
  device(request: DeviceRequest): Promise<Verdict>;
  /** Stops at once, open connections included. The state stays in the data folder. */
  close(): Promise<void>;
}

/** Opens a sandbox. Throws `config_invalid` (production, address in use) and `state_invalid`. */
export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { port = 0, host = '127.0.0.1', now = Date.now, requestsPerHour = 3500 } = options;
  if (options.production && !options.ownCommand)
    throw new WebdistError('config_invalid', 'The sandbox does not run inside a service in production.', {
      hint: 'Set WEBDIST_MODE=production, or start `webdist sandbox` by itself.',
    });
  const dataDir = resolve(options.dataDir);
  const distributionKeyFile = ensureDistributionKey(dataDir);
  const store = openStore(dataDir);
  const closing = new AbortController();
  const server = buildServer({
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

/** Settings as the text of an env file, a `NAME=value` line each. */
export const settingsText = (settings: Sandbox['settings']): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

function settingsFor(baseUrl: string, distributionKeyFile: string, state: State): Record<string, string> {
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

function apiKeyOf(state: State, kind: ApiKey['kind']): ApiKey {
  const key = state.apiKeys.find((apiKey) => apiKey.kind === kind);
  if (!key) throw new WebdistError('state_invalid', `The sandbox’s account has no ${kind} API key.`);
  return key;
}

function addressOf(bound: AddressInfo | string | null | undefined): string {
  if (!bound || typeof bound === 'string') throw new WebdistError('internal_error', 'The sandbox has no address.');
  const host = ['0.0.0.0', '::'].includes(bound.address) ? '127.0.0.1' : bound.address;
  return `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`;
}
