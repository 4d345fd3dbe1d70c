/**
 * The facts that the checks examine: settings, keys, App Store Connect, package manifests and pages. Each fact is
 * fetched once, when the first check needs it.
 */

import { type AppConfig, type Config, readConfig } from '../config/config.ts';
import { connectionProblem } from '../connection-problem.ts';
import type { Environment } from '../environment.ts';
import type { WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { isSecretLocator, openSecret, openSigner } from '../locators.ts';
import { manifestUrlOf, readManifestText } from '../packages/manifest.ts';
import { doctorProof } from '../service/doctor-proof.ts';
import { existingLedgerSecret } from '../service/secret.ts';
import { openLocalSigner } from '../signer/local.ts';
import { type AppleAccount, asProblem, readAppleAccount } from './apple-account.ts';
import type { HostRecords } from './dns.ts';
import { sendRequest, type WebAnswer, type WebRequest } from './web.ts';

export type DoctorOptions = {
  readonly env: Environment;
  /** URL of the page with the install link; turns the public checks on. */
  readonly publicUrl?: URL | undefined;
  /** URL at which webdist is reached from outside, if not at the page's origin. */
  readonly serviceUrl?: URL | undefined;
  /** `host:port` to connect to for the website's names instead of their addresses in DNS, like curl's `--connect-to`. */
  readonly connect?: string | undefined;
  /** Sends nothing to App Store Connect, whose hourly limit the service needs. */
  readonly withoutApple?: boolean;
  /** Looks hosts up; default: in DNS. */
  readonly lookUp?: (host: string) => Promise<HostRecords>;
};

/**
 * The result of opening a locator: a signer, or the problem. `repairs` lists what had to be repaired in the text of the
 * key.
 */
export type HeldKey = {
  readonly locator: string;
  readonly signer?: Signer | undefined;
  readonly problem?: WebdistError | undefined;
  readonly repairs: readonly string[];
};

/** An app with the candidates of its key. */
export type AppWithKeys = { readonly app: AppConfig; readonly keys: readonly HeldKey[] };

/** The manifest of an app's package: its text, or the reason why it cannot be read. */
type ManifestFact = { readonly app: AppConfig; readonly text?: string; readonly problem?: string };

export interface Facts {
  readonly options: DoctorOptions;
  /** The settings, or the problem with them. */
  readonly config: Config | undefined;
  readonly configProblem: WebdistError | undefined;
  /** Every app with its keys, opened. */
  appKeys(): Promise<readonly AppWithKeys[]>;
  apiKey(): Promise<HeldKey | undefined>;
  /** Undefined with WEBDIST_REGISTER=off, without a usable API key, or if no request may be sent to Apple. */
  appleAccount(): Promise<AppleAccount | undefined>;
  manifests(): Promise<readonly ManifestFact[]>;
  /** Proves to the service that this is its doctor; undefined without the ledger's secret. */
  proof(): Promise<string | undefined>;
  /** The page of `--public`; undefined without the option. */
  page(): Promise<WebAnswer | undefined>;
  /** Sends a request from outside; identical requests are sent once. */
  web(url: URL, request?: WebRequest): Promise<WebAnswer>;
  close(): Promise<void>;
}

export function openFacts(options: DoctorOptions): Facts {
  const { env, publicUrl, serviceUrl, connect } = options;
  const { config, configProblem } = settingsOf(env);
  const opened: HeldKey[] = [];
  const hold = async (locator: string) => {
    // A backend may keep state in the data folder, so it gets the path in the settings.
    const key = await openKey(locator, { ...env, ...(config && { WEBDIST_DATA_DIR: config.dataDir }) });
    opened.push(key);
    return key;
  };
  const appKeys = once(async () =>
    Promise.all((config?.apps ?? []).map(async (app) => ({ app, keys: await Promise.all(app.key.map(hold)) }))),
  );
  const apiKey = once(async () => (config?.appStoreConnect ? hold(config.appStoreConnect.privateKey) : undefined));
  const isOnWebsite = ({ hostname }: URL) =>
    [publicUrl?.hostname, serviceUrl?.hostname, config?.domain].includes(hostname) ||
    hostname.endsWith(`.${config?.domain}`);
  const answers = new Map<string, Promise<WebAnswer>>();
  const web = (url: URL, request: WebRequest = {}) => {
    const name = JSON.stringify([url.href, request]);
    const answer = answers.get(name) ?? sendRequest(url, request, isOnWebsite(url) ? connect : undefined);
    answers.set(name, answer);
    return answer;
  };
  return {
    options,
    config,
    configProblem,
    appKeys,
    apiKey,
    appleAccount: once(async () => {
      if (options.withoutApple) return undefined;
      const signer = (await apiKey())?.signer;
      if (!config?.appStoreConnect || !signer) return undefined;
      return readAppleAccount(config, config.appStoreConnect, signer);
    }),
    manifests: once(async () => Promise.all((config?.apps ?? []).flatMap((app) => readManifest(app) ?? []))),
    proof: once(async () => {
      if (!config) return undefined;
      // The check `ledger-secret` reports a secret that cannot be read.
      const secret = config.ledger.secret ?? (await existingLedgerSecret(config.dataDir).catch(() => undefined));
      return secret === undefined ? undefined : doctorProof(secret, Date.now());
    }),
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

function settingsOf(env: Environment): Pick<Facts, 'config' | 'configProblem'> {
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

function readManifest(app: AppConfig): Promise<ManifestFact> | undefined {
  const url = manifestUrlOf(app);
  if (url === undefined) return undefined;
  return readManifestText(url).then(
    (text) => ({ app, text }),
    (error: Error & { code?: string }) => {
      const reached = connectionProblem(error.cause ?? error);
      return { app, problem: reached ? `its server ${reached.what}` : (error.code ?? error.message.slice(0, 200)) };
    },
  );
}
