/**
 * Answers the two requests of a device: for apps that it had and wants back (restore), and for newer versions
 * (updates). Apple: "Installing your app from your website", "Installing apps from an alternative marketplace"
 * (docs/apple-facts.md §3.2, §3.3). All tokens of a response are requested together, and an app that cannot be served
 * does not affect the others.
 */

import { toWebdistError, type WebdistError } from '../errors.ts';
import type { AppVersion, Device } from '../packages/versions.ts';
import { type Choice, chooseRestore, chooseUpdate, type HeldRestore } from './choose.ts';
import type { VersionRules } from './rollout.ts';

/** One request, of either kind. */
export type DeviceRequest = Device & {
  readonly apps: readonly { readonly appleItemId: string; readonly appleVersionId: string }[];
};

/** One app of this service, with its packages. */
export type OfferedApp = {
  readonly appShareUrl?: string | undefined;
  readonly versions: readonly AppVersion[];
  readonly rules: VersionRules;
  /** The AppleVersionID that every device gets; undefined: the newest. */
  readonly used?: string | undefined;
  /** Issues one install verification token. Throws a WebdistError. */
  issue(appleVersionId: string): Promise<string>;
};

/** The parts that the responses are made from. */
export type AnswerDeps = {
  /** Returns undefined if this service has no such app. */
  appOf(appleItemId: string, requestedVersionId: string): OfferedApp | undefined;
  /** Counts one token for each of these apps against the limits, before any is issued. Rejects with `rate_limited`. */
  charge(appleItemIds: readonly string[]): Promise<void>;
  /** Identifies the device in a staged release. */
  readonly who: string;
  readonly heldRestore: HeldRestore;
  /** Called on internal failures. */
  failed(appleItemId: string, error: WebdistError): void;
};

type Entry = {
  readonly appleItemId: string;
  readonly appleVersionId: string;
  readonly alternativeDistributionPackage: string;
  readonly installVerificationToken: string;
  readonly appShareURL?: string;
};
type Failure = {
  readonly appleItemId: string;
  readonly appleVersionId: string;
  readonly failure: { readonly code: 404; readonly description: string };
};

/** Answers a restore request. Throws only if every app failed temporarily. */
export async function answerRestore(request: DeviceRequest, deps: AnswerDeps) {
  const { entries, failures } = await answerAll(request, deps, chooseRestore);
  return { restores: entries.map(({ entry }) => entry), ...(failures.length > 0 && { failures }) };
}

/** Answers an update request with newer versions only. Throws as `answerRestore` does. */
export async function answerUpdates(request: DeviceRequest, deps: AnswerDeps) {
  const { entries, failures } = await answerAll(request, deps, (choice) => {
    const version = chooseUpdate(choice);
    return version && { version };
  });
  const updates = entries.map(({ entry, version: { bundleVersion, shortVersionString } }) => ({
    ...entry,
    ...(bundleVersion !== undefined && { bundleVersion }),
    ...(shortVersionString !== undefined && { shortVersionString }),
  }));
  return { updates, ...(failures.length > 0 && { failures }) };
}

type Choose = (choice: Choice) => { readonly version: AppVersion } | { readonly reason: string } | undefined;

/** An app that gets a token. */
type Wanted = {
  readonly appleItemId: string;
  readonly requested: string;
  readonly app: OfferedApp;
  readonly version: AppVersion;
};
type Outcome =
  | { readonly entry: Entry; readonly version: AppVersion }
  | { readonly error: WebdistError; readonly failure: Failure };

async function answerAll({ apps, ...device }: DeviceRequest, deps: AnswerDeps, choose: Choose) {
  const wanted: Wanted[] = [];
  const failures: Failure[] = [];
  // If a request names an app twice, only the first entry is answered.
  for (const [appleItemId, requested] of firstOfEach(apps)) {
    const app = deps.appOf(appleItemId, requested);
    const chosen = app
      ? choose({ requested, device, ...app, who: deps.who, heldRestore: deps.heldRestore })
      : { reason: 'This app is not offered here.' };
    if (app && chosen && 'version' in chosen) wanted.push({ appleItemId, requested, app, version: chosen.version });
    else if (chosen && 'reason' in chosen) failures.push(failureOf(appleItemId, requested, chosen.reason));
  }
  await deps.charge(wanted.map(({ appleItemId }) => appleItemId));
  const outcomes = await Promise.all(wanted.map((one) => outcomeFor(one, deps.failed)));
  const entries = outcomes.filter((outcome) => 'entry' in outcome);
  const errors = outcomes.filter((outcome) => 'error' in outcome);
  // If every app were a 404, the device would give up. After a 503, it sends its request again.
  if (entries.length === 0 && errors[0]) throw errors[0].error;
  return { entries, failures: [...failures, ...errors.map(({ failure }) => failure)] };
}

/** The requested version of each app, by AppleItemID. */
const firstOfEach = (apps: DeviceRequest['apps']): ReadonlyMap<string, string> =>
  new Map(apps.toReversed().map(({ appleItemId, appleVersionId }) => [appleItemId, appleVersionId]));

async function outcomeFor(
  { appleItemId, requested, app, version }: Wanted,
  failed: AnswerDeps['failed'],
): Promise<Outcome> {
  const { appleVersionId, packageUrl } = version;
  try {
    const entry = {
      appleItemId,
      appleVersionId,
      alternativeDistributionPackage: packageUrl,
      installVerificationToken: await app.issue(appleVersionId),
      ...(app.appShareUrl !== undefined && { appShareURL: app.appShareUrl }),
    };
    return { entry, version };
  } catch (cause) {
    const error = toWebdistError(cause, 'internal_error', 'The token could not be issued.');
    failed(appleItemId, error);
    return { error, failure: failureOf(appleItemId, requested, error.title) };
  }
}

const failureOf = (appleItemId: string, appleVersionId: string, description: string): Failure => ({
  appleItemId,
  appleVersionId,
  failure: { code: 404, description },
});
