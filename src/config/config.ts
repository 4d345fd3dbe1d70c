/**
 * Assembles everything that an operator configured into one frozen object. Only `config/` reads `process.env`. It does
 * so once (`readSettings`), and every function here takes the result. The functions throw `config_invalid` with all
 * problems of the settings that they need. No error contains a value.
 */

import { resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import { apiKeysOf } from './api-keys.ts';
import { apiKeyIn, appStoreConnectNames, appStoreConnectOf } from './app-store-connect.ts';
import { type AppConfig, appNames, appsOf, knownApps, packageUrlWarnings } from './apps.ts';
import { auditNames, auditOf } from './audit.ts';
import { challengeOf, signInOf } from './callers.ts';
import { deviceSideOf, packagesIn, withoutSlash } from './device-side.ts';
import { ledgerNames, ledgerOf } from './ledger.ts';
import { asGiven, concerns, configInvalid, nothingConfigured, type Problem } from './problems.ts';
import { isNothingSet, type Read, readSettings } from './read.ts';
import type { SettingName, Values } from './settings.ts';
import { tracingOf } from './tracing.ts';

export type { AppConfig };

/** Everything an operator configured. Plain and frozen. Contains secrets; never log it. */
export type Config = Readonly<ReturnType<typeof assemble>>;

/** Returns the configuration in an environment. */
export const readConfig = (env: Environment): Config => configOf(readSettings(env));

/** The environment of this process, for locators that name variables, and for the variables of vendors. */
export const processEnvironment = (): Environment => process.env;

let ofProcess: Read | undefined;

/** The settings of this process. They are read at the first call. */
export function processSettings(): Read {
  ofProcess ??= readSettings(process.env);
  return ofProcess;
}

/** The whole configuration. */
export function configOf(read: Read): Config {
  const found = [...read.problems];
  const config = assemble(read, found);
  if (found.length === 0) return Object.freeze(config);
  const problems = asGiven(found, read.given);
  if (isNothingSet(read)) throw nothingConfigured();
  if (read.mode === 'production') throw configInvalid(problems, DEMO_ADVICE);
  throw configInvalid(
    problems,
    problems.some((problem) => concerns(problem, 'WEBDIST_DOMAIN')) ? INIT_ADVICE : undefined,
  );
}

/**
 * Returns the problems and warnings of the settings, the domain and apps that are set, and the values of unset settings
 * whose default depends on others. In sandbox mode, the simulated App Store Connect provides the app and the API key,
 * so a missing one is not a problem.
 */
export function checkedSettings(read: Read) {
  const problems = [...read.problems];
  const ofProduction: Problem[] = read.mode === 'production' ? problems : [];
  const { domain, apps, mode, dataDir, ledger, callers, packages, deviceSide, ...rest } = assemble(read, ofProduction);
  if (read.mode === 'sandbox') knownApps(read, problems);
  const derived: Partial<Record<SettingName, string>> = {
    WEBDIST_MODE: mode,
    WEBDIST_DATA_DIR: dataDir,
    WEBDIST_LEDGER: ledger.url,
    WEBDIST_ANONYMOUS: callers.anonymous,
    WEBDIST_PACKAGES_DIR: packages.dir,
    WEBDIST_OAUTH: deviceSide.oauth?.kind === 'own' ? 'own' : 'off',
    WEBDIST_DEVICE_CREDENTIAL: deviceSide.isCredentialRequired ? 'required' : 'optional',
    ...(domain && { WEBDIST_DOMAIN: domain, WEBDIST_PUBLIC_URL: deviceSide.publicUrl }),
  };
  return {
    problems: asGiven(problems, read.given),
    warnings: [...rest.warnings, ...rest.packageUrlWarnings],
    domain,
    apps: apps.filter((app) => app.bundleId && app.appleItemId),
    derived,
  };
}

const INIT_ADVICE =
  'no app is configured: `webdist serve` starts a demo, `webdist init` asks for the settings of an app';
const DEMO_ADVICE = 'for a demo that needs no settings, set WEBDIST_MODE=sandbox';

/** Returns the values of these settings only, for a command that needs no others. */
export function only<const N extends SettingName>(names: readonly N[], read: Read): Pick<Values, N> {
  return need(names, read, () => read.values);
}

/** Returns the settings of the ledger and the data folder. */
export function ledgerSettings(read: Read) {
  return need(ledgerNames, read, (problems) => ({
    dataDir: dataDirOf(read.values),
    ledger: ledgerOf(read, problems),
    tokenLifetimeSeconds: read.values.WEBDIST_TOKEN_LIFETIME,
  }));
}

/** Returns the settings for calls to App Store Connect. */
export const appStoreConnectSettings = (read: Read) =>
  need(appStoreConnectNames, read, (problems) => appStoreConnectOf(read, problems));

/** Returns the settings of an API key for Apple's services; none is required. */
export const apiKeySettings = (read: Read) =>
  need([...appStoreConnectNames, 'WEBDIST_BUNDLE_ID'], read, () => apiKeyIn(read));

/** Returns the settings of the audit log, for a command that records what it does. */
export const auditSettings = (read: Read) => need(auditNames, read, () => auditOf(read.values));

/** Returns the folder of pulled packages, the URL at which it is served, and how many versions are kept. */
export const packagesSettings = (read: Read) =>
  need(['WEBDIST_PACKAGES_DIR', 'WEBDIST_PACKAGES_URL', 'WEBDIST_PACKAGES_KEEP', 'WEBDIST_DATA_DIR'], read, () =>
    packagesIn(read.values),
  );

/** Returns the domain and the apps, if they are set. An app has at least an AppleItemID and a bundle id. */
export const knownAppSettings = (read: Read) => need(appNames, read, (problems) => knownApps(read, problems));

/** The data folder, an absolute path. */
export const dataDirOf = (values: Pick<Values, 'WEBDIST_DATA_DIR'>): string => resolve(values.WEBDIST_DATA_DIR);

/** Runs `work`. Throws if it reports problems, or if one of the named settings has a problem. */
function need<T>(names: readonly SettingName[], read: Read, work: (problems: Problem[]) => T): T {
  const problems = read.problems.filter((problem) => names.some((name) => concerns(problem, name)));
  const result = work(problems);
  if (problems.length > 0) throw configInvalid(asGiven(problems, read.given));
  return result;
}

function assemble(read: Read, problems: Problem[]) {
  const { mode, values } = read;
  const { domain, apps, apiKeysInFile } = appsOf(read, problems);
  return {
    mode,
    /** The variables that were ignored, each with the reason. */
    warnings: asGiven(read.warnings, read.given),
    /** Why no device installs from the package URL of an app. */
    packageUrlWarnings: asGiven(packageUrlWarnings({ domain, apps }, read.given), read.given),
    dataDir: dataDirOf(values),
    listen: { host: values.HOST, port: values.PORT },
    operator:
      values.WEBDIST_OPERATOR_PORT === undefined
        ? undefined
        : { host: values.WEBDIST_OPERATOR_HOST ?? values.HOST, port: values.WEBDIST_OPERATOR_PORT },
    hostCookie: values.WEBDIST_COOKIE_PREFIX === 'host',
    docs: values.WEBDIST_DOCS === 'on',
    /** The start of the `type` of a problem: a path on the host that was called, or below the configured URL. */
    problemsUrl: `${withoutSlash(values.WEBDIST_PUBLIC_URL ?? '')}/problems/`,
    startJitterSeconds: values.WEBDIST_START_JITTER_SECONDS,
    drainSeconds: values.WEBDIST_DRAIN_SECONDS,
    logLevel: values.LOG_LEVEL,
    domain,
    apps,
    tokenLifetimeSeconds: values.WEBDIST_TOKEN_LIFETIME,
    keyScope: values.WEBDIST_KEY_SCOPE,
    register: values.WEBDIST_REGISTER,
    registerIntervalSeconds: values.WEBDIST_REGISTER_INTERVAL,
    appStoreConnect: values.WEBDIST_REGISTER === 'off' ? undefined : appStoreConnectOf(read, problems),
    callers: {
      allowedOrigins: [`https://${domain}`, ...(values.WEBDIST_ALLOWED_ORIGINS ?? [])],
      anonymous:
        mode === 'sandbox' && !read.given.has('WEBDIST_ANONYMOUS') ? ('any' as const) : values.WEBDIST_ANONYMOUS,
      apiKeys: apiKeysOf(read, apiKeysInFile, problems),
      signIn: signInOf(read, problems),
      challenge: challengeOf(read, problems),
    },
    ledger: ledgerOf(read, problems),
    rateLimit: {
      perVisitor: values.WEBDIST_RATE_LIMIT,
      perAddress: values.WEBDIST_RATE_LIMIT_ADDRESS,
      perApp: values.WEBDIST_RATE_LIMIT_APP,
      total: values.WEBDIST_RATE_LIMIT_TOTAL,
      redisUrl: values.WEBDIST_REDIS_URL,
    },
    buttonErrorsShare: values.WEBDIST_BUTTON_ERRORS,
    audit: auditOf(values),
    trustProxy: values.WEBDIST_TRUST_PROXY ?? [],
    countryHeader: countryHeaderOf(read, problems),
    deviceSide: deviceSideOf(read, domain, problems),
    packages: packagesIn(values),
    webhookSecret: values.WEBDIST_WEBHOOK_SECRET,
    doctor: doctorOf(read, problems),
    tracing: tracingOf(values),
  };
}

/** The checks in the background; undefined for none. */
function doctorOf({ values, given }: Read, problems: Problem[]) {
  const { WEBDIST_DOCTOR_MINUTES: minutes, WEBDIST_DOCTOR_PUBLIC: publicUrl } = values;
  if (minutes > 0) return { everyMinutes: minutes, publicUrl };
  if (given.has('WEBDIST_DOCTOR_PUBLIC'))
    problems.push({ variable: 'WEBDIST_DOCTOR_PUBLIC', message: 'needs WEBDIST_DOCTOR_MINUTES, such as 15' });
  return undefined;
}

function countryHeaderOf({ values, given }: Read, problems: Problem[]): string | undefined {
  if (values.WEBDIST_COUNTRY_HEADER && !given.has('WEBDIST_TRUST_PROXY'))
    problems.push({
      variable: 'WEBDIST_COUNTRY_HEADER',
      message: 'needs WEBDIST_TRUST_PROXY; otherwise visitors could choose their country',
    });
  return values.WEBDIST_COUNTRY_HEADER?.toLowerCase();
}
