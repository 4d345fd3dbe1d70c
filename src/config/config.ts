/**
 * Everything an operator chose, read once from the environment into one frozen object. The only reader of
 * `process.env`. Every problem is reported at once, by the name of its variable, and no value is ever repeated.
 */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { type AppEntry, readConfigFile } from './apps-file.ts';
import { readDeviceSide, readPackages } from './device-side.ts';
import { locators } from './forms.ts';
import { type Given, readValues, resolveFiles, type Settings } from './read.ts';
import { settings } from './settings.ts';
import { readTracing } from './tracing.ts';

/** One app that installs from the website. */
export type AppConfig = Readonly<AppEntry>;

/** Which mode a service starts in and where it keeps things; known before the rest is read. */
export type Start = { readonly mode: 'production' | 'sandbox'; readonly dataDir: string; readonly production: boolean };

/** Everything an operator chose. Plain, frozen, made once. Holds secrets: never log it. */
export type Config = Readonly<ReturnType<typeof assemble>>;

/**
 * Reads the settings. Throws `config_invalid` listing every problem, each with the name of its variable.
 * In sandbox mode the caller puts the simulated App Store Connect's settings below the operator's own in `env`.
 */
export function readConfig(env: Environment = process.env): Config {
  const problems: string[] = [];
  const texts = resolveFiles(env, problems);
  const values = readValues(texts, problems);
  const config = assemble(env, values, problems);
  if (problems.length > 0) throw invalid(problems);
  return Object.freeze(config);
}

/** Mode and data folder alone, so that a sandbox can be started before the rest is read. Throws `config_invalid`. */
export function readStart(env: Environment = process.env): Start {
  const production = env['NODE_ENV'] === 'production';
  const configured = Object.keys(env).some((name) => /^(WEBDIST|ASC)_/.test(name) && env[name]);
  const problems: string[] = [];
  const texts = resolveFiles(env, problems);
  const mode = settings.WEBDIST_MODE.form.safeParse(texts.get('WEBDIST_MODE')?.value);
  return {
    mode: mode.success ? mode.data : configured || production ? 'production' : 'sandbox',
    dataDir: resolve(texts.get('WEBDIST_DATA_DIR')?.value ?? settings.WEBDIST_DATA_DIR.default),
    production,
  };
}

/** The settings of the ledger alone, so that its commands need neither apps nor keys. Throws `config_invalid`. */
export function readLedgerSettings(env: Environment = process.env) {
  const problems: string[] = [];
  const values = readValues(resolveFiles(env, problems), problems);
  const { dataDir } = readStart(env);
  const ledger = readLedger(values, dataDir, problems);
  const own = problems.filter((problem) => /^WEBDIST_(LEDGER|INSTALL_EVIDENCE|TOKEN_LIFETIME|DATA_DIR)/.test(problem));
  if (own.length > 0) throw invalid(own);
  return { dataDir, ledger, tokenLifetimeSeconds: values.WEBDIST_TOKEN_LIFETIME };
}

/**
 * Only the settings named, for commands that need no others; what is absent is undefined. Problems of other settings
 * are left to the commands that need those. Throws `config_invalid`.
 */
export function readSettings<const N extends keyof Settings>(
  names: readonly N[],
  env: Environment = process.env,
): Pick<Given, N> {
  const problems: string[] = [];
  const values = readValues(resolveFiles(env, problems), problems);
  throwOwn(problems, names);
  return Object.fromEntries(names.map((name) => [name, values[name]])) as Pick<Given, N>;
}

/** App Store Connect's settings alone. Throws `config_invalid`. */
export function readAppStoreConnectSettings(env: Environment = process.env) {
  const problems: string[] = [];
  const values = readValues(resolveFiles(env, problems), problems);
  const read = readAppStoreConnect(values, problems);
  throwOwn(problems, appStoreConnectNames);
  return read;
}

/** What is known of the API key when nothing of it is required: a locator, or undefined. Throws `config_invalid`. */
export function readApiKeySettings(env: Environment = process.env) {
  const values = readSettings([...appStoreConnectNames, 'WEBDIST_BUNDLE_ID'], env);
  const isGiven = values.ASC_PRIVATE_KEY ?? values.ASC_PRIVATE_KEY_PATH ?? values.ASC_PRIVATE_KEY_B64;
  return {
    baseUrl: values.ASC_BASE_URL,
    keyId: values.ASC_KEY_ID,
    issuerId: values.ASC_ISSUER_ID,
    privateKey: isGiven === undefined ? undefined : locatorOf(values),
    bundleId: values.WEBDIST_BUNDLE_ID,
  };
}

/** The packages folder and how many versions are kept. Throws `config_invalid`. */
export function readPackagesSettings(env: Environment = process.env) {
  const names = ['WEBDIST_PACKAGES_DIR', 'WEBDIST_PACKAGES_URL', 'WEBDIST_PACKAGES_KEEP', 'WEBDIST_DATA_DIR'] as const;
  return readPackages(readSettings(names, env), readStart(env).dataDir);
}

/** The apps and the domain as far as they are set; an app needs an AppleItemID and a bundle id. Throws `config_invalid`. */
export function readKnownApps(env: Environment = process.env): { domain: string; apps: readonly AppConfig[] } {
  const problems: string[] = [];
  const values = readValues(resolveFiles(env, problems), problems);
  const malformed = [...problems];
  const { domain, apps } = readApps(values, problems);
  const missing = problems.filter((problem) => !/^WEBDIST_[A-Z_]+: is required/.test(problem));
  throwOwn(values.WEBDIST_CONFIG ? missing : malformed, ['WEBDIST_CONFIG', ...appNames]);
  return { domain, apps: apps.filter((app) => app.bundleId && app.appleItemId) };
}

const appStoreConnectNames = [
  'ASC_KEY_ID',
  'ASC_ISSUER_ID',
  'ASC_PRIVATE_KEY',
  'ASC_PRIVATE_KEY_PATH',
  'ASC_PRIVATE_KEY_B64',
  'ASC_BASE_URL',
] as const;

const appNames = ['WEBDIST_DOMAIN', 'WEBDIST_APPLE_ITEM_ID', 'WEBDIST_BUNDLE_ID', 'WEBDIST_KEY'] as const;

function throwOwn(problems: readonly string[], names: readonly string[]): void {
  const own = problems.filter((problem) => names.includes(/^[A-Z0-9_]+?(?=(_FILE)?[:,])/.exec(problem)?.[0] ?? ''));
  if (own.length > 0) throw invalid(own);
}

/** The environment of this process: for the one who merges a sandbox's settings with it. */
export const processEnvironment = (): Environment => process.env;

function assemble(env: Environment, values: Given, problems: string[]) {
  const { mode, dataDir, production } = readStart(env);
  if (mode === 'sandbox' && production)
    problems.push('WEBDIST_MODE: the sandbox does not run with NODE_ENV=production; unset one of them');
  const { domain, apps: given } = readApps(values, problems);
  const packages = readPackages(values, dataDir);
  const apps = given.map((app) => withPulledPackage(app, packages));
  return {
    mode,
    dataDir,
    listen: { host: values.HOST, port: values.PORT },
    logLevel: values.LOG_LEVEL,
    domain,
    apps,
    tokenLifetimeSeconds: values.WEBDIST_TOKEN_LIFETIME,
    keyScope: values.WEBDIST_KEY_SCOPE,
    register: values.WEBDIST_REGISTER,
    registerIntervalSeconds: values.WEBDIST_REGISTER_INTERVAL,
    appStoreConnect: values.WEBDIST_REGISTER === 'off' ? undefined : readAppStoreConnect(values, problems),
    callers: {
      allowedOrigins: [`https://${domain}`, ...(values.WEBDIST_ALLOWED_ORIGINS ?? [])],
      anonymous: mode === 'sandbox' && !env['WEBDIST_ANONYMOUS'] ? ('any' as const) : values.WEBDIST_ANONYMOUS,
      apiKeys: readApiKeys(values, problems),
      signIn: readSignIn(values, problems),
    },
    ledger: readLedger(values, dataDir, problems),
    rateLimit: {
      perVisitor: values.WEBDIST_RATE_LIMIT,
      perAddress: values.WEBDIST_RATE_LIMIT_ADDRESS,
      perApp: values.WEBDIST_RATE_LIMIT_APP,
      total: values.WEBDIST_RATE_LIMIT_TOTAL,
      redisUrl: values.WEBDIST_REDIS_URL,
    },
    auditFile: values.WEBDIST_AUDIT && resolve(values.WEBDIST_AUDIT),
    trustProxy: values.WEBDIST_TRUST_PROXY ?? [],
    countryHeader: readCountryHeader(values, problems),
    deviceSide: readDeviceSide(values, domain, problems),
    packages,
    tracing: readTracing(values),
  };
}

function readApps(values: Given, problems: string[]): { domain: string; apps: readonly AppConfig[] } {
  const single = {
    WEBDIST_APPLE_ITEM_ID: values.WEBDIST_APPLE_ITEM_ID,
    WEBDIST_BUNDLE_ID: values.WEBDIST_BUNDLE_ID,
    WEBDIST_KEY: values.WEBDIST_KEY,
  };
  if (values.WEBDIST_CONFIG) {
    for (const name of [
      ...Object.keys(single),
      'WEBDIST_KEY_ID',
      'WEBDIST_PACKAGE_URL',
      'WEBDIST_APP_SHARE_URL',
      'WEBDIST_PACKAGE_MANIFEST',
    ] as const)
      if (values[name as keyof Given] !== undefined)
        problems.push(`${name}: say this in the file of WEBDIST_CONFIG instead`);
    const file = readConfigFile(values.WEBDIST_CONFIG, problems);
    if (values.WEBDIST_DOMAIN && file?.domain)
      problems.push('WEBDIST_DOMAIN: is given twice, also in the file of WEBDIST_CONFIG');
    const domain = values.WEBDIST_DOMAIN ?? file?.domain;
    if (file && !domain)
      problems.push('WEBDIST_DOMAIN: is required, there or as "domain" in the file of WEBDIST_CONFIG');
    return { domain: domain ?? '', apps: file?.apps ?? [] };
  }
  // A value that was given and is malformed has had its own problem already.
  const unsaid = (name: string) =>
    !problems.some((problem) => problem.startsWith(`${name}:`) || problem.startsWith(`${name}_FILE:`));
  if (!values.WEBDIST_DOMAIN && unsaid('WEBDIST_DOMAIN'))
    problems.push(`WEBDIST_DOMAIN: is required: ${settings.WEBDIST_DOMAIN.about}`);
  for (const [name, value] of Object.entries(single))
    if (value === undefined && unsaid(name))
      problems.push(`${name}: is required: ${settings[name as keyof typeof single].about}`);
  const app: AppConfig = {
    bundleId: values.WEBDIST_BUNDLE_ID ?? '',
    appleItemId: values.WEBDIST_APPLE_ITEM_ID ?? '',
    key: values.WEBDIST_KEY ?? [],
    keyId: values.WEBDIST_KEY_ID,
    packageUrl: values.WEBDIST_PACKAGE_URL,
    packageManifest: values.WEBDIST_PACKAGE_MANIFEST,
    appShareUrl: values.WEBDIST_APP_SHARE_URL,
  };
  return { domain: values.WEBDIST_DOMAIN ?? '', apps: [app] };
}

/** Where the website serves the folder of pulled packages, an app without an address of its own is linked there. */
function withPulledPackage(app: AppConfig, { dir, url }: ReturnType<typeof readPackages>): AppConfig {
  if (url === undefined || app.packageUrl !== undefined) return app;
  return {
    ...app,
    packageUrl: `${url}/${app.appleItemId}/current`,
    packageManifest:
      app.packageManifest ?? pathToFileURL(resolve(dir, app.appleItemId, 'current', 'manifest.json')).href,
  };
}

function readAppStoreConnect(values: Given, problems: string[]) {
  const given = {
    ASC_PRIVATE_KEY: values.ASC_PRIVATE_KEY,
    ASC_PRIVATE_KEY_PATH: values.ASC_PRIVATE_KEY_PATH,
    ASC_PRIVATE_KEY_B64: values.ASC_PRIVATE_KEY_B64,
  };
  const names = Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (names.length > 1) problems.push(`${names.join(', ')}: only one of them may be given`);
  if (names.length === 0)
    problems.push(
      'ASC_PRIVATE_KEY: is required: a locator or the PEM of the API key (or ASC_PRIVATE_KEY_PATH, ASC_PRIVATE_KEY_B64)',
    );
  if (!values.ASC_KEY_ID && !problems.some((problem) => problem.startsWith('ASC_KEY_ID')))
    problems.push('ASC_KEY_ID: is required: the id shown beside the API key');
  return {
    baseUrl: values.ASC_BASE_URL,
    keyId: values.ASC_KEY_ID ?? '',
    issuerId: values.ASC_ISSUER_ID,
    privateKey: locatorOf(values),
  };
}

/** The API key as a locator, wherever it was given. The PEM itself stays in the environment. */
function locatorOf(values: Pick<Given, 'ASC_PRIVATE_KEY' | 'ASC_PRIVATE_KEY_PATH' | 'ASC_PRIVATE_KEY_B64'>): string {
  if (values.ASC_PRIVATE_KEY_PATH) return pathToFileURL(resolve(values.ASC_PRIVATE_KEY_PATH)).href;
  const name = values.ASC_PRIVATE_KEY_B64 ? 'ASC_PRIVATE_KEY_B64' : 'ASC_PRIVATE_KEY';
  const key = values[name];
  return key && locators.safeParse(key).success ? key : `env://${name}`;
}

function readApiKeys(values: Given, problems: string[]) {
  const keys = (values.WEBDIST_API_KEYS ?? []).map((entry) => {
    const [name = '', sha256 = ''] = entry.split(':');
    return { name, sha256 };
  });
  if (new Set(keys.map((key) => key.name)).size < keys.length)
    problems.push('WEBDIST_API_KEYS: two keys have the same name');
  return keys;
}

function readSignIn(values: Given, problems: string[]) {
  const { WEBDIST_AUTH_JWKS_URL: jwksUrl, WEBDIST_AUTH_ISSUER: issuer, WEBDIST_AUTH_AUDIENCE: audience } = values;
  if (!jwksUrl && !issuer && !audience) return undefined;
  if (!jwksUrl) problems.push('WEBDIST_AUTH_JWKS_URL: is required when an issuer or audience is set');
  if (!issuer) problems.push('WEBDIST_AUTH_ISSUER: is required with WEBDIST_AUTH_JWKS_URL');
  if (!audience) problems.push('WEBDIST_AUTH_AUDIENCE: is required with WEBDIST_AUTH_JWKS_URL');
  return { jwksUrl: jwksUrl ?? '', issuer: issuer ?? '', audience: audience ?? '' };
}

function readLedger(values: Given, dataDir: string, problems: string[]) {
  const url = values.WEBDIST_LEDGER ?? `sqlite://${resolve(dataDir, 'ledger.sqlite')}`;
  if (ledgerBackend(url).isShared && !values.WEBDIST_LEDGER_SECRET)
    problems.push(
      'WEBDIST_LEDGER_SECRET: is required with PostgreSQL: the same for all replicas (openssl rand -base64 32)',
    );
  return {
    url,
    secret: values.WEBDIST_LEDGER_SECRET,
    whenDown: values.WEBDIST_LEDGER_DOWN,
    evidence: values.WEBDIST_INSTALL_EVIDENCE,
    retentionDays: values.WEBDIST_LEDGER_RETENTION_DAYS,
  };
}

function readCountryHeader(values: Given, problems: string[]): string | undefined {
  if (values.WEBDIST_COUNTRY_HEADER && !values.WEBDIST_TRUST_PROXY?.length)
    problems.push('WEBDIST_COUNTRY_HEADER: needs WEBDIST_TRUST_PROXY, or visitors could choose their country');
  return values.WEBDIST_COUNTRY_HEADER?.toLowerCase();
}

function invalid(problems: readonly string[]): WebdistError {
  const many = problems.length === 1 ? 'One setting is' : `${problems.length} settings are`;
  return new WebdistError('config_invalid', `${many} wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
}
