/**
 * The contents of the simulated account: teams with their API keys, apps with a first version, and the settings for an
 * app.
 */

import { generateKeyPairSync, type KeyObject, randomBytes, randomInt, randomUUID } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { WebdistError } from '../errors.ts';
import { fileProblem, makeFolder } from '../file-problem.ts';
import { type AccountApp, type ApiKey, newDeviceState, type SandboxState } from './state.ts';

/** An app to add, as posted to `/_sandbox/apps`. Its team is created too. */
export const appSeedSchema = z.strictObject({
  bundleId: z.string().regex(/^[A-Za-z0-9.-]+$/),
  name: z.string().min(1).default('Another App'),
  team: z.string().min(1).default('first'),
  /** The website that serves its package. */
  host: z
    .string()
    .regex(/^[a-z0-9.-]+$/)
    .default('example.com'),
});

const FIRST_APP = { bundleId: 'com.example.trailmap', name: 'Trail Map', team: 'first', host: 'example.com' };

/** Returns a new account: one team with an API key of each kind, one app, and one version with a package. */
export function newAccount(): SandboxState {
  const state = {
    version: 1 as const,
    apiKeys: [],
    apps: [],
    keys: [],
    domains: [],
    packages: [],
    device: newDeviceState(),
  };
  seedApp(state, FIRST_APP);
  return state;
}

/** Adds an app with one version, and its team. If there already is an app with this bundle id, returns that app. */
export function seedApp(
  state: SandboxState,
  { bundleId, name, team, host }: z.output<typeof appSeedSchema>,
): { readonly app: AccountApp; readonly isNew: boolean } {
  const known = state.apps.find((app) => app.bundleId === bundleId);
  if (known) return { app: known, isNew: false };
  const number = state.apps.length;
  const id = String(6_500_000_001 + number);
  const sku = name.replace(/\s+/g, '').toUpperCase();
  const app = { id, bundleId, name, sku, primaryLocale: 'en-US', team, changes: {} };
  if (!state.apiKeys.some((key) => key.team === team)) state.apiKeys.push(...newApiKeys(team));
  state.apps.push(app);
  state.packages.push({
    appleItemId: id,
    appleVersionId: String(2_000_000_042 + number * 1_000_000),
    bundleId,
    shortVersionString: '1.3.0',
    bundleVersion: '42',
    url: `https://${host}/adp/${id}`,
    seed: randomBytes(32).toString('base64'),
    isMade: true,
    changes: {},
  });
  return { app, isNew: true };
}

function newApiKeys(team: string): ApiKey[] {
  const issuerId = randomUUID();
  const key = () => ({ team, keyId: newApiKeyId(), privateKeyPem: newPrivateKeyPem() });
  return [
    { kind: 'team', issuerId, ...key() },
    { kind: 'individual', ...key() },
    { kind: 'in-app-purchase', issuerId, ...key() },
  ];
}

/** Returns the team's API key of this kind. Throws `state_invalid`. */
export function apiKeyOf(state: SandboxState, team: string, kind: ApiKey['kind']): ApiKey {
  const key = state.apiKeys.find((apiKey) => apiKey.team === team && apiKey.kind === kind);
  if (!key) throw new WebdistError('state_invalid', `The sandbox’s team ${team} has no ${kind} API key.`);
  return key;
}

/** Returns the settings of a service for this app. Creates the app's distribution key. Throws `state_invalid`. */
export function settingsFor(
  baseUrl: string,
  dataDir: string,
  state: SandboxState,
  app: AccountApp,
): Record<string, string> {
  const apiKey = apiKeyOf(state, app.team, 'team');
  const linked = state.packages.find(({ appleItemId }) => appleItemId === app.id);
  if (!linked || !apiKey.issuerId)
    throw new WebdistError('state_invalid', `The sandbox’s app ${app.id} has no package.`);
  const isFirst = app.id === state.apps[0]?.id;
  const distributionKeyFile = ensureDistributionKey(dataDir, isFirst ? undefined : app.id);
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
    WEBDIST_APP_SHARE_URL: new URL(isFirst ? '/trailmap' : `/apps/${app.id}`, linked.url).href,
    WEBDIST_LICENSE_DYNAMIC_URL: new URL('/ald/license', linked.url).href,
    WEBDIST_LICENSE_RENEWAL_URL: new URL('/ald/renew', linked.url).href,
    WEBDIST_LICENSE_RESOLUTION_URL: new URL('/account/license', linked.url).href,
    WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: new URL('/ald/signing.cer', linked.url).href,
    WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: new URL('/ald/encryption.cer', linked.url).href,
  };
}

/** Ten characters, such as `2X9R4HXF34`. */
function newApiKeyId(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return Array.from({ length: 10 }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
}

function newPrivateKeyPem(): string {
  const { privateKey }: { privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
}

/**
 * Ensures that `<dataDir>/distribution-key.pem` (of the first app) or `distribution-key-<appleItemId>.pem` exists: a new
 * P-256 private key, mode 0600, never overwritten. Creates the folder too. Returns the file's path. Throws `state_invalid`.
 */
export function ensureDistributionKey(dataDir: string, appleItemId?: string): string {
  const file = join(
    dataDir,
    appleItemId === undefined ? 'distribution-key.pem' : `distribution-key-${appleItemId}.pem`,
  );
  try {
    makeFolder(dataDir, 0o700);
    writeFileSync(file, newPrivateKeyPem(), { mode: 0o600, flag: 'wx' });
    return file;
  } catch (cause) {
    if (existsSync(file)) return file;
    throw (
      fileProblem(cause, file, 'WEBDIST_DATA_DIR') ??
      new WebdistError('state_invalid', `The sandbox cannot write ${file}.`, { cause })
    );
  }
}
