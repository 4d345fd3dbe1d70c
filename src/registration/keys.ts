/**
 * The keys of a service: for every app the private halves held here, the App Store Connect API key beside them, and
 * the watch over what is registered. Refuses at start what only a person can fix.
 */

import { basename } from 'node:path';
import type { Logger } from 'pino';
import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { RequestAttempt } from '../app-store-connect/http.ts';
import type { AppConfig, Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { hasCode, WebdistError } from '../errors.ts';
import { type Signer, type SigningKey, spki } from '../jws.ts';
import type { Metrics } from '../metrics.ts';
import { ended, type Tracing } from '../tracing/tracing.ts';
import { type Candidate, openCandidate } from './candidates.ts';
import { watchNotice } from './rotation/watch.ts';
import { type AppState, canSign, currentKey, type DomainState, newAppState } from './state.ts';
import { openMemory } from './store.ts';
import { watchRegistration } from './watch.ts';

export interface Keys {
  readonly apps: readonly AppState[];
  readonly domain: DomainState;
  /** The key that signs for an app, as far as known. Throws `not_registered`. */
  keyFor(app: { readonly appleItemId: string }): SigningKey;
  /** Resolves once it is known, too, whether a key is being replaced right now. Throws `not_registered`. */
  fresh(): Promise<void>;
  /** App Store Connect's clock minus this machine's, in seconds, once measured. */
  readonly clockOffsetSeconds: number | undefined;
  look(): Promise<void>;
  close(): Promise<void>;
}

type Parts = {
  readonly env: Environment;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** False: nobody is asked before `look` is called. */
  readonly looksByItself: boolean;
  readonly tracing?: Tracing | undefined;
};

/** Opens every key and starts looking at the registration; the first look goes on behind. Throws `key_*`, `config_invalid`. */
export async function openKeys(config: Config, parts: Parts): Promise<Keys> {
  const { log, metrics } = parts;
  let look = async () => {
    // Replaced below, once there is something to look at.
  };
  const opening = { env: parts.env, log, changed: () => void look() };
  const apps: AppState[] = [];
  for (const app of config.apps) {
    refuseAppleFileNames(app);
    const candidates = await Promise.all(app.key.map((locator) => openCandidate(locator, opening)));
    refuseUnusable(app, candidates, log);
    apps.push(newAppState(app, candidates));
  }
  const states = new Map(apps.map((state) => [state.app.appleItemId, state]));
  const domain: DomainState = { domain: config.domain, confirmed: false, problem: undefined };
  const apple = config.appStoreConnect && (await openApple(config.appStoreConnect, apps, { ...parts, opening }));
  const memory = await openMemory(config, log);
  const registration = await watchRegistration({
    config,
    apps,
    domain,
    connect: apple?.connect,
    memory,
    log,
    tracing: parts.tracing,
    looked: () => {
      showRegistration(metrics, apps, domain);
    },
  });
  look = registration.look;
  const notice = await watchNotice({ notices: memory, follow: registration.follow, log });
  if (parts.looksByItself) void look();
  return {
    apps,
    domain,
    keyFor(app) {
      const state = states.get(app.appleItemId);
      if (!state) throw new WebdistError('unknown_app', 'The app is not one of this server.');
      return currentKey(state);
    },
    fresh: notice.fresh,
    get clockOffsetSeconds() {
      return apple?.clockOffsetSeconds();
    },
    look,
    async close() {
      // Ends what is being asked first: a look that waits for a slow Apple must not hold up the end.
      await Promise.all([apple?.close(), registration.close(), notice.close()]);
      await memory.close();
      await Promise.all(apps.flatMap((state) => state.candidates).map((candidate) => candidate.close()));
    },
  };
}

type Opening = Parameters<typeof openCandidate>[1];

async function openApple(
  settings: NonNullable<Config['appStoreConnect']>,
  apps: readonly AppState[],
  { log, metrics, opening }: Parts & { opening: Opening },
) {
  const apiKey = await openCandidate(settings.privateKey, opening);
  if (apiKey.problem && isForPerson(apiKey.problem)) throw named('ASC_PRIVATE_KEY', apiKey.problem);
  refuseSameKey(apiKey, apps);
  let asc: AppStoreConnect | undefined;
  let openedWith: Signer | undefined;
  return {
    /** App Store Connect, with the API key as it is now: a rotated API key gets a connection of its own. */
    async connect() {
      // Nothing waits for it at the start, so its libraries need not be loaded before.
      const { openAppStoreConnect } = await import('../app-store-connect/client.ts');
      await apiKey.refresh();
      const { signer, problem } = apiKey;
      if (!signer) throw problem ?? new WebdistError('key_absent', 'There is no App Store Connect API key.');
      if (asc && openedWith === signer) return asc;
      await asc?.close();
      const { baseUrl, keyId, issuerId } = settings;
      openedWith = signer;
      asc = openAppStoreConnect({
        baseUrl,
        keyId,
        issuerId,
        signer,
        log,
        onAttempt: (seen) => {
          const { method, status, durationSeconds } = seen;
          metrics.appStoreConnectRequests.inc({ method, status: status ?? 'none' });
          metrics.appStoreConnectSeconds.observe({ method }, durationSeconds);
          showObserved(metrics, asc);
          noteRequest(baseUrl, seen);
        },
      });
      return asc;
    },
    clockOffsetSeconds: () => asc?.clockOffsetSeconds,
    async close() {
      await asc?.close();
      await apiKey.close();
    },
  };
}

/** A client span by OpenTelemetry's semantic conventions; the query is left out. */
function noteRequest(baseUrl: string, { method, path, status, durationSeconds }: RequestAttempt): void {
  const { hostname, port, protocol, origin } = new URL(baseUrl);
  ended(method, {
    kind: 'client',
    seconds: durationSeconds,
    attributes: {
      'peer.service': 'app-store-connect',
      'http.request.method': method,
      'server.address': hostname,
      'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
      'url.full': origin + path,
      ...(status !== undefined && { 'http.response.status_code': status }),
    },
    errorType: status === undefined ? 'no_answer' : status >= 400 ? String(status) : undefined,
  });
}

function showObserved(metrics: Metrics, asc: AppStoreConnect | undefined): void {
  if (asc?.clockOffsetSeconds !== undefined) metrics.clockOffsetSeconds.set(asc.clockOffsetSeconds);
  if (!asc?.rateLimit) return;
  metrics.appStoreConnectLimit.set(asc.rateLimit.limit);
  metrics.appStoreConnectRemaining.set(asc.rateLimit.remaining);
}

/** What the latest look found, as metrics. The domain stands beside the apps, under its own word. */
function showRegistration(metrics: Metrics, apps: readonly AppState[], domain: DomainState): void {
  metrics.registrationProblem.reset();
  for (const state of apps) {
    const { bundleId: app } = state.app;
    metrics.registered.set({ app }, canSign(state) ? 1 : 0);
    if (state.registered) metrics.keySeen.set({ app }, Date.parse(state.registered.seenAt) / 1000);
    if (state.problem) metrics.registrationProblem.set({ app, code: state.problem.code }, 1);
    else if (state.confirmed) metrics.registrationConfirmed.setToCurrentTime({ app });
  }
  if (domain.problem) metrics.registrationProblem.set({ app: 'domain', code: domain.problem.code }, 1);
}

/** What no amount of waiting fixes. */
const isForPerson = (problem: WebdistError) => hasCode(problem, 'key_invalid', 'key_absent', 'key_denied');

/** One usable candidate is enough to start: beside it a locator may wait for a rotation. */
function refuseUnusable(app: AppConfig, candidates: readonly Candidate[], log: Logger): void {
  for (const { problem } of candidates) {
    if (problem?.code === 'key_invalid') throw named(`The distribution key of ${app.bundleId}`, problem);
    if (problem) log.warn({ event: 'key_not_held', bundleId: app.bundleId, err: problem }, problem.message);
  }
  const problems = candidates.flatMap((one) => (one.signer ? [] : one.problem ? [one.problem] : []));
  const [first] = problems;
  if (first && problems.length === candidates.length && problems.every(isForPerson))
    throw named(`The distribution key of ${app.bundleId}`, first);
}

/** Names under which Apple hands out its own keys (docs/apple-facts.md §7). Bytes cannot tell them apart, names can. */
const APPLE_FILE_NAME = /^(AuthKey|SubscriptionKey|ApiKey)_[A-Za-z0-9]+\.p8$/;

function refuseAppleFileNames(app: AppConfig): void {
  for (const locator of app.key)
    if (locator.startsWith('file:') && APPLE_FILE_NAME.test(basename(decodeURIComponent(locator))))
      throw new WebdistError(
        'key_invalid',
        `The distribution key of ${app.bundleId} has the file name of a key that Apple made, such as an App Store Connect API key.`,
        {
          hint: 'Name your own distribution key (webdist keygen makes one); if this is it, rename the file.',
        },
      );
}

function refuseSameKey(apiKey: Candidate, apps: readonly AppState[]): void {
  const api = apiKey.signer && spki(apiKey.signer.publicKey);
  for (const { app, candidates } of apps)
    if (candidates.some((one) => one.signer && spki(one.signer.publicKey) === api))
      throw new WebdistError(
        'key_invalid',
        `The distribution key of ${app.bundleId} is the App Store Connect API key.`,
        {
          hint: 'They are two keys: make a distribution key with webdist keygen, and leave the .p8 to ASC_PRIVATE_KEY.',
        },
      );
}

const named = (what: string, problem: WebdistError) =>
  new WebdistError(problem.code, `${what}: ${problem.detail}`, {
    cause: problem,
    ...(problem.hint && { hint: problem.hint }),
  });
