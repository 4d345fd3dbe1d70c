/** The parts of one run: Apple, up to three replicas with their disks, the databases, and what is known about all of them. */

import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../../src/environment.ts';
import type { Server } from '../../src/http/server.ts';
import type { Service } from '../../src/service/service.ts';
import { APPLE_ORIGIN, type AppleRequest, openApple, type SimulatedApple } from './apple.ts';
import { type Facts, newFacts } from './facts.ts';
import { newKeyPem } from './key.ts';
import { openPackages, PACKAGES_URL, type Packages } from './packages.ts';
import { resetDisks } from './world/disk.ts';
import { resetRandom } from './world/globals.ts';
import { resetNetwork } from './world/network.ts';
import { postgres, resetPostgres } from './world/postgres.ts';
import { between, oneOf, randomOf } from './world/random.ts';
import { resetRedis } from './world/redis.ts';
import { elapsedMs, type Machine, resetScheduler } from './world/scheduler.ts';
import { resetVault } from './world/vault.ts';

/** One of the replicas. Its disk and its clock outlive its processes. */
export type Replica = {
  readonly name: string;
  readonly folder: string;
  /** Its wall clock minus the true time. */
  readonly clock: { offsetMs: number; driftPerMs: number; sinceMs: number };
  state: 'down' | 'starting' | 'up';
  /** Counts its processes. */
  starts: number;
  machine: Machine | undefined;
  service: Service | undefined;
  server: Server | undefined;
};

/** The settings that the seed chooses. */
export type Choices = {
  readonly replicas: number;
  readonly ledger: 'PostgreSQL' | 'SQLite';
  readonly audits: boolean;
  readonly signer: 'in the process' | 'Vault';
  readonly usesRedis: boolean;
  readonly evidence: 'tap' | 'confirm';
  readonly whenDown: 'issue' | 'refuse';
  readonly lifetimeSeconds: number;
  readonly checkSeconds: number;
  readonly rateLimit: number;
  readonly requestsPerHour: number;
};

export type Fleet = {
  readonly seed: number;
  readonly choices: Choices;
  readonly apple: SimulatedApple;
  readonly packages: Packages;
  readonly replicas: readonly Replica[];
  readonly facts: Facts;
  readonly env: Environment;
  /** What happened, one line each. */
  readonly trace: string[];
  readonly note: (who: string, what: string) => void;
  readonly close: () => void;
};

export const API_KEY = 'the-API-key-of-the-licence-server';
export const DOMAIN = 'example.com';
/** The candidates of the distribution key: names of variables, or of keys in Vault. */
const KEY_NAMES = ['KEY_A', 'KEY_B', 'KEY_C'];

const chooseFrom = (seed: number): Choices => {
  const random = randomOf(seed, 'choices');
  return {
    ledger: random() < 0.7 ? 'PostgreSQL' : 'SQLite',
    usesRedis: random() < 0.5,
    evidence: oneOf(random, ['tap', 'tap', 'confirm']),
    whenDown: oneOf(random, ['issue', 'issue', 'refuse']),
    lifetimeSeconds: oneOf(random, [60, 60, 120, 1200]),
    checkSeconds: oneOf(random, [10, 20, 60]),
    rateLimit: between(random, 5, 20),
    requestsPerHour: oneOf(random, [3500, 3500, 600]),
    audits: random() < 0.5,
    signer: oneOf(random, ['in the process', 'in the process', 'Vault']),
    replicas: oneOf(random, [1, 2, 3, 3]),
  };
};

/** Opens everything but the replicas, which are started by the run. */
export function openFleet(
  seed: number,
  {
    folder,
    keepsHistory,
    given,
  }: { readonly folder: string; readonly keepsHistory: boolean; readonly given: Partial<Choices> | undefined },
  observe: (fleet: Fleet, request: AppleRequest) => void,
): Fleet {
  const choices = { ...chooseFrom(seed), ...given };
  resetScheduler();
  resetRandom(seed);
  resetNetwork(seed);
  resetDisks();
  resetPostgres(keepsHistory);
  resetRedis();
  resetVault(KEY_NAMES);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'apple'), { recursive: true });
  const apple = openApple(join(folder, 'apple'), { ...choices, random: randomOf(seed, 'Apple') }, (request) =>
    observe(fleet, request),
  );
  const packagesFolder = join(folder, 'packages');
  const names = ['replica 1', 'replica 2', 'replica 3'].slice(0, choices.replicas);
  const replicas = names.map(
    (name, index): Replica => ({
      name,
      folder: join(folder, choices.ledger === 'SQLite' ? 'shared' : `disk-${index + 1}`),
      clock: { offsetMs: 0, driftPerMs: 0, sinceMs: 0 },
      state: 'down',
      starts: 0,
      machine: undefined,
      service: undefined,
      server: undefined,
    }),
  );
  const trace: string[] = [];
  const fleet: Fleet = {
    seed,
    choices,
    apple,
    packages: openPackages(packagesFolder, apple.app),
    replicas,
    facts: newFacts(),
    env: { ...settingsOf(choices, apple), WEBDIST_PACKAGES_DIR: packagesFolder },
    trace,
    note(who, what) {
      // The name of the folder differs from process to process.
      const line = `${who}: ${what.replaceAll(folder, '')}`;
      trace.push(`${(elapsedMs() / 1000).toFixed(3).padStart(11)} s  ${line}`);
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
  return fleet;
}

function settingsOf(choices: Choices, { app, apiKey }: SimulatedApple): Environment {
  const keys = Object.fromEntries(KEY_NAMES.map((name) => [name, newKeyPem()]));
  return {
    ...keys,
    WEBDIST_KEY: locatorsOf(choices).join(' '),
    VAULT_ADDR: 'https://vault.example:8200',
    VAULT_TOKEN: 'the token of the replicas',
    WEBDIST_MODE: 'production',
    WEBDIST_DOMAIN: DOMAIN,
    WEBDIST_APPLE_ITEM_ID: app.id,
    WEBDIST_BUNDLE_ID: app.bundleId,
    WEBDIST_LEDGER: choices.ledger === 'SQLite' ? undefined : 'postgres://webdist@db.example.com/webdist',
    WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
    WEBDIST_LEDGER_DOWN: choices.whenDown,
    WEBDIST_INSTALL_EVIDENCE: choices.evidence,
    WEBDIST_TOKEN_LIFETIME: String(choices.lifetimeSeconds),
    WEBDIST_REGISTER_INTERVAL: String(choices.checkSeconds),
    WEBDIST_RATE_LIMIT: String(choices.rateLimit),
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
    WEBDIST_REDIS_URL: choices.usesRedis ? 'redis://cache.example.com:6379' : undefined,
    WEBDIST_API_KEYS: `licence:${createHash('sha256').update(API_KEY).digest('hex')}`,
    WEBDIST_DOCS: 'off',
    WEBDIST_OAUTH: 'own',
    WEBDIST_PACKAGES_URL: PACKAGES_URL,
    ASC_BASE_URL: APPLE_ORIGIN,
    ASC_KEY_ID: apiKey.keyId,
    ASC_ISSUER_ID: apiKey.issuerId,
    ASC_PRIVATE_KEY: apiKey.privateKeyPem,
  };
}

/** The locators of the candidates. */
export const locatorsOf = ({ signer }: Choices): string[] =>
  KEY_NAMES.map((name) => (signer === 'Vault' ? `hashivault://${name}` : `env://${name}`));

/** The tables of the ledger; undefined with SQLite. */
export const postgresTables = ({ choices }: Fleet) => (choices.ledger === 'PostgreSQL' ? postgres.tables : undefined);
