/**
 * The sandbox: a real HTTP server that simulates App Store Connect, and a simulated device, for trials and tests
 * (docs/sandbox.md). A service uses it through `settings`. To webdist, it is only a base URL.
 */

import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { listenError, localUrl } from '../host.ts';
import { apiKeyOf, ensureDistributionKey, newAccount, settingsFor } from './account.ts';
import { openHourlyLimit } from './apple/bearer.ts';
import { openCdn } from './apple/cdn.ts';
import { type JudgeRequest, judge, type Verdict } from './device/judge.ts';
import { openFaults } from './faults.ts';
import { openRequestLog } from './requests.ts';
import { buildSandboxServer } from './server.ts';
import { type AccountApp, openStore } from './state.ts';

export type SandboxOptions = {
  /** Folder for its state and its distribution key; created if missing. */
  readonly dataDir: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** URL at which the service reaches the sandbox, without a trailing slash; default: host and port. */
  readonly baseUrl?: string;
  readonly log?: Logger;
  /** Returns milliseconds since 1970; default: the real clock. */
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
  /** URL at which the service reaches the sandbox, without a trailing slash. */
  readonly baseUrl: string;
  /** The settings that a service needs to use the sandbox, by name. They include a private key, so never log them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly individualKey: SandboxKey;
  /** An API key whose JWTs are refused, because it is not valid for this API. */
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
  ensureDistributionKey(dataDir);
  const store = openStore(dataDir, newAccount);
  let baseUrl = options.baseUrl ?? '';
  const settingsOf = (app: AccountApp) => settingsFor(baseUrl, dataDir, store.state, app);
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
    settingsOf,
  });
  try {
    await server.listen({ port, host });
  } catch (cause) {
    throw listenError(cause, { host, port }, { host: 'HOST', port: '--port' });
  }
  baseUrl ||= localUrl(server.server.address() as AddressInfo);
  const [firstApp] = store.state.apps;
  if (!firstApp) throw new WebdistError('state_invalid', 'The sandbox’s account has no app.');
  return {
    baseUrl,
    settings: settingsOf(firstApp),
    individualKey: apiKeyOf(store.state, firstApp.team, 'individual'),
    inAppPurchaseKey: apiKeyOf(store.state, firstApp.team, 'in-app-purchase'),
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
