/**
 * The two requests of a device: apps it had and wants back (restore), and newer versions (updates); Apple: "Installing your
 * app from your website", "Installing apps from an alternative marketplace" (docs/apple-facts.md §3.2, §3.3). All tokens of
 * a response are requested together, and an app that cannot be served does not affect the others.
 */

import { toWebdistError, type WebdistError } from '../errors.ts';
import type { AppVersion, Device } from '../packages/versions.ts';
import { type Choice, chooseRestore, chooseUpdate } from './choose.ts';
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
  /** Issues one install verification token. Throws a WebdistError. */
  issue(appleVersionId: string): Promise<string>;
};

/** What the responses are made from. */
export type AnswerDeps = {
  /** Undefined when this service has no such app. */
  appOf(appleItemId: string, requestedVersionId: string): OfferedApp | undefined;
  /** Identifies the device in a staged release. */
  readonly who: string;
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
type Outcome =
  | { readonly entry: Entry; readonly version: AppVersion }
  | { readonly error: WebdistError }
  | Failure
  | undefined;

async function answerAll({ apps, ...device }: DeviceRequest, deps: AnswerDeps, choose: Choose) {
  const outcomes = await Promise.all(
    apps.map(async ({ appleItemId, appleVersionId: requested }): Promise<Outcome> => {
      const app = deps.appOf(appleItemId, requested);
      if (!app) return failureOf(appleItemId, requested, 'This app is not offered here.');
      const chosen = choose({ requested, device, versions: app.versions, rules: app.rules, who: deps.who });
      if (!chosen) return undefined;
      if ('reason' in chosen) return failureOf(appleItemId, requested, chosen.reason);
      return entryFor(appleItemId, app, chosen.version, deps.failed);
    }),
  );
  const entries = outcomes.filter((outcome) => outcome !== undefined && 'entry' in outcome);
  const errors = outcomes.filter((outcome) => outcome !== undefined && 'error' in outcome);
  // A 404 for every app would make the device give up; after an error it asks again.
  if (entries.length === 0 && errors[0]) throw errors[0].error;
  const failures = outcomes.flatMap((outcome, index) => {
    const app = apps[index];
    if (!outcome || !app) return [];
    if ('failure' in outcome) return [outcome];
    return 'error' in outcome ? [failureOf(app.appleItemId, app.appleVersionId, outcome.error.title)] : [];
  });
  return { entries, failures };
}

async function entryFor(
  appleItemId: string,
  app: OfferedApp,
  version: AppVersion,
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
    return { error };
  }
}

const failureOf = (appleItemId: string, appleVersionId: string, description: string): Failure => ({
  appleItemId,
  appleVersionId,
  failure: { code: 404, description },
});
