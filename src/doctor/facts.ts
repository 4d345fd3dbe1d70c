/**
 * What the checks look at, each thing fetched once and only when a check asks: settings, keys, App Store Connect, the
 * package manifests and the pages. Must not judge.
 */

import { type AppStoreConnect, openAppStoreConnect } from '../app-store-connect/client.ts';
import type { RateLimit } from '../app-store-connect/observations.ts';
import type { App, RegisteredDomain, RegisteredKey } from '../app-store-connect/resources.ts';
import { type AppConfig, type Config, readConfig } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { toWebdistError, type WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { openLog } from '../log.ts';
import { readManifestText } from '../packages/manifest.ts';
import { isSecretLocator, openSecret } from '../secrets/secrets.ts';
import { openLocalSigner } from '../signer/local.ts';
import { openSigner } from '../signer/signer.ts';
import type { DoctorOptions } from './doctor.ts';
import { type Answer, ask, type Question } from './web.ts';

/** A key as its locator gives it: a signer, or the problem. `repairs`: what had to be repaired in its text. */
export type HeldKey = {
  readonly locator: string;
  readonly signer?: Signer | undefined;
  readonly problem?: WebdistError | undefined;
  readonly repairs: readonly string[];
};

export type HeldForApp = { readonly app: AppConfig; readonly keys: readonly HeldKey[] };

/** What App Store Connect said; after the first `problem` nothing more was asked. */
export type Apple = {
  readonly problem: WebdistError | undefined;
  /** By bundle id. */
  readonly apps: ReadonlyMap<string, readonly App[]>;
  /** By AppleItemID; null when the app has none. */
  readonly appKeys: ReadonlyMap<string, RegisteredKey | null>;
  readonly keys: readonly RegisteredKey[];
  readonly accountKeys: readonly RegisteredKey[];
  readonly domains: readonly RegisteredDomain[];
  readonly clockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
};

/** The manifest of an app's package: its text, or why there is none. */
type Manifest = { readonly app: AppConfig; readonly text?: string; readonly problem?: string };

export interface Evidence {
  readonly env: Environment;
  readonly options: DoctorOptions;
  /** The settings, or what is wrong with them. */
  readonly config: Config | undefined;
  readonly configProblem: WebdistError | undefined;
  held(): Promise<readonly HeldForApp[]>;
  apiKey(): Promise<HeldKey | undefined>;
  /** Undefined when it is not to be asked, or its key is not there. */
  apple(): Promise<Apple | undefined>;
  manifests(): Promise<readonly Manifest[]>;
  /** The page of `--public`; undefined without it. */
  page(): Promise<Answer | undefined>;
  /** Asks from outside; the same question once. */
  web(url: URL, question?: Question): Promise<Answer>;
  close(): Promise<void>;
}

export function openEvidence(options: DoctorOptions): Evidence {
  const { env, publicUrl, serviceUrl, connect } = options;
  const opened: HeldKey[] = [];
  const { config, configProblem } = settingsOf(env);
  const hold = async (locator: string) => {
    const key = await openKey(locator, env);
    opened.push(key);
    return key;
  };
  const held = once(async () =>
    Promise.all((config?.apps ?? []).map(async (app) => ({ app, keys: await Promise.all(app.key.map(hold)) }))),
  );
  const apiKey = once(async () => (config?.appStoreConnect ? hold(config.appStoreConnect.privateKey) : undefined));
  const isOfWebsite = ({ hostname }: URL) =>
    [publicUrl?.hostname, serviceUrl?.hostname, config?.domain].includes(hostname) ||
    hostname.endsWith(`.${config?.domain}`);
  const asked = new Map<string, Promise<Answer>>();
  const web = (url: URL, question: Question = {}) => {
    const name = JSON.stringify([url.href, question]);
    const answer = asked.get(name) ?? ask(url, question, isOfWebsite(url) ? connect : undefined);
    asked.set(name, answer);
    return answer;
  };
  return {
    env,
    options,
    config,
    configProblem,
    held,
    apiKey,
    apple: once(async () => {
      const signer = (await apiKey())?.signer;
      return config?.appStoreConnect && signer ? askApple(config, config.appStoreConnect, signer) : undefined;
    }),
    manifests: once(async () => Promise.all((config?.apps ?? []).flatMap((app) => readManifest(app) ?? []))),
    page: once(async () => publicUrl && web(publicUrl)),
    web,
    async close() {
      for (const { signer } of opened) await signer?.close();
    },
  };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}

function settingsOf(env: Environment): Pick<Evidence, 'config' | 'configProblem'> {
  try {
    return { config: readConfig(env), configProblem: undefined };
  } catch (error) {
    return { config: undefined, configProblem: asProblem(error) };
  }
}

async function openKey(locator: string, env: Environment): Promise<HeldKey> {
  try {
    if (!isSecretLocator(locator)) return { locator, signer: await openSigner(locator, env), repairs: [] };
    const source = await openSecret(locator, env);
    try {
      return { locator, ...openLocalSigner(await source.read(), source.backend) };
    } finally {
      await source.close();
    }
  } catch (error) {
    return { locator, problem: asProblem(error), repairs: [] };
  }
}

/** Nobody waits for a doctor as long as a service may wait. */
const retryPolicy = { attemptTimeoutMs: 5000, totalTimeoutMs: 15_000, retries: 1, backoffMs: 200 };

async function askApple(
  { apps }: Config,
  settings: NonNullable<Config['appStoreConnect']>,
  signer: Signer,
): Promise<Apple> {
  const asc = openAppStoreConnect({ ...settings, signer, log: openLog('silent'), retryPolicy });
  const said = {
    problem: undefined as WebdistError | undefined,
    apps: new Map<string, readonly App[]>(),
    appKeys: new Map<string, RegisteredKey | null>(),
    keys: [] as readonly RegisteredKey[],
    accountKeys: [] as readonly RegisteredKey[],
    domains: [] as readonly RegisteredDomain[],
  };
  try {
    await fill(said, asc, apps);
  } catch (error) {
    said.problem = asProblem(error);
  } finally {
    asc.close();
  }
  const { clockOffsetSeconds, rateLimit } = asc;
  return { ...said, clockOffsetSeconds, rateLimit };
}

async function fill(
  said: {
    apps: Map<string, readonly App[]>;
    appKeys: Map<string, RegisteredKey | null>;
    keys: readonly RegisteredKey[];
    accountKeys: readonly RegisteredKey[];
    domains: readonly RegisteredDomain[];
  },
  asc: AppStoreConnect,
  apps: readonly AppConfig[],
): Promise<void> {
  for (const { bundleId } of apps) said.apps.set(bundleId, await asc.findApps(bundleId));
  said.keys = await asc.listKeys();
  said.accountKeys = await asc.listKeys({ app: false });
  said.domains = await asc.listDomains();
  for (const { bundleId, appleItemId } of apps)
    if (said.apps.get(bundleId)?.some((app) => app.appleItemId === appleItemId))
      said.appKeys.set(appleItemId, await asc.appKey(appleItemId));
}

function readManifest(app: AppConfig): Promise<Manifest> | undefined {
  const url = app.packageManifest ?? (app.packageUrl && `${app.packageUrl.replace(/\/$/, '')}/manifest.json`);
  if (url === undefined) return undefined;
  return readManifestText(url).then(
    (text) => ({ app, text }),
    (error: Error & { code?: string }) => ({ app, problem: error.code ?? error.message.slice(0, 200) }),
  );
}

const asProblem = (error: unknown) => toWebdistError(error, 'internal_error', 'An unexpected error occurred.');
