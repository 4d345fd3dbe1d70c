/**
 * The state of the simulated App Store Connect and the simulated device: one JSON file, replaced atomically on every
 * change. A change that cannot be written does not take effect.
 */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isWebdistError, WebdistError } from '../errors.ts';
import { parseStored } from '../stored-format.ts';

/** The team that a part of the account belongs to. */
const team = z.string().default('first');
/** Attributes that clients have changed. */
const changes = z.record(z.string(), z.unknown()).default({});

const apiKeySchema = z.strictObject({
  team,
  kind: z.enum(['team', 'individual', 'in-app-purchase']),
  keyId: z.string(),
  /** Absent for an individual key. */
  issuerId: z.string().optional(),
  privateKeyPem: z.string(),
});
const appSchema = z.strictObject({
  team,
  changes,
  id: z.string(),
  bundleId: z.string(),
  name: z.string(),
  sku: z.string(),
  primaryLocale: z.string(),
});
const keySchema = z.strictObject({
  team,
  id: z.string(),
  /** SubjectPublicKeyInfo DER, base64. */
  spki: z.string(),
  /** AppleItemID of the key's app; null if the key is for all apps of the account. */
  appId: z.string().nullable(),
});
const domainSchema = z.strictObject({
  team,
  id: z.string(),
  domain: z.string(),
  referenceName: z.string(),
  createdDate: z.string(),
});
const packageSchema = z.strictObject({
  appleItemId: z.string(),
  appleVersionId: z.string(),
  bundleId: z.string(),
  shortVersionString: z.string().default('1.3.0'),
  bundleVersion: z.string().default('42'),
  /** Base URL on the website. */
  url: z.string(),
  /** Random; the content of the package's files is derived from it. */
  seed: z.string(),
  /** False if the version exists, but its package has not been created. */
  isMade: z.boolean().default(true),
  /** Changes of the App Store version. */
  changes,
});
const FORMAT = 1;

const stateSchema = z.strictObject({
  version: z.literal(FORMAT),
  apiKeys: z.array(apiKeySchema),
  apps: z.array(appSchema),
  /** Alternative distribution keys, oldest first. */
  keys: z.array(keySchema),
  /** Alternative distribution domains, oldest first. */
  domains: z.array(domainSchema),
  /** Packages of the apps' versions, oldest first; the website serves the newest of each app. */
  packages: z.array(packageSchema),
  device: z.strictObject({
    /** Each entry is a key id, a space and a nonce in upper case. */
    nonces: z.array(z.string()),
    /**
     * Apps that this device installed. After an install from a link, the device sends one restore, whose token has the
     * same `dtype`.
     */
    installs: z.array(
      z.strictObject({ appId: z.string(), dtypeOfRestore: z.enum(['download', 'redownload']).nullable() }),
    ),
  }),
});

export type ApiKey = z.infer<typeof apiKeySchema>;
export type AccountApp = z.infer<typeof appSchema>;
export type DistributionKey = z.infer<typeof keySchema>;
export type Package = z.infer<typeof packageSchema>;
export type SandboxState = z.infer<typeof stateSchema>;

/** The state, and the only function that changes it. */
export interface SandboxStore {
  /** The current state; read-only. */
  readonly state: SandboxState;
  /**
   * Runs `act` on a copy, writes the copy to disk, and makes it current, all in one tick. If `act` throws, nothing
   * changes. Throws `state_invalid` if the file cannot be written.
   */
  change<T>(act: (draft: SandboxState) => T): T;
}

/** Reads `<dataDir>/sandbox.json`, or creates it with the given state. Throws `state_invalid`. */
export function openStore(dataDir: string, newState: () => SandboxState): SandboxStore {
  const file = join(dataDir, 'sandbox.json');
  let state = readState(file);
  if (state === undefined) {
    state = newState();
    writeState(file, state);
  }
  let current = state;
  return {
    get state() {
      return current;
    },
    change(act) {
      const draft = structuredClone(current);
      const result = act(draft);
      writeState(file, draft);
      current = draft;
      return result;
    },
  };
}

function readState(file: string): SandboxState | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new WebdistError('state_invalid', `The sandbox's state file ${file} cannot be read.`, { cause });
  }
  try {
    return stateSchema.parse(parseStored(text, `The sandbox's state file ${file}`, FORMAT));
  } catch (error) {
    if (isWebdistError(error)) throw error;
    // The cause is not kept, because messages from zod and JSON.parse can quote the file, which contains private keys.
    throw new WebdistError('state_invalid', `The file ${file} is not a state file of this version of the sandbox.`, {
      hint: 'Delete it to start with a new account.',
    });
  }
}

function writeState(file: string, state: SandboxState): void {
  const draft = `${file}.new`;
  try {
    const handle = openSync(draft, 'w', 0o600);
    try {
      writeFileSync(handle, `${JSON.stringify(state, null, 2)}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(draft, file);
  } catch (cause) {
    throw new WebdistError('state_invalid', `The sandbox's state file ${file} cannot be written.`, { cause });
  }
}

/** Returns the state of a device that has received no token and installed no app. */
export const newDeviceState = (): SandboxState['device'] => ({ nonces: [], installs: [] });
