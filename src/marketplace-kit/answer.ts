/**
 * The two questions of a device: what it had and wants back (restore), and what is newer (updates); Apple: "Installing
 * your app from your website", "Installing apps from an alternative marketplace" (docs/apple-facts.md §3.2, §3.3).
 * Every token of an answer is asked for in one pass, and an app that cannot be served spoils no other.
 */

import { isWebdistError, WebdistError } from '../errors.ts';
import type { AppVersion, Device } from '../packages/versions.ts';
import { type Choice, chooseRestore, chooseUpdate } from './choose.ts';
import type { VersionRules } from './rollout.ts';

/** One request, of either kind. */
export type DeviceRequest = Device & {
  readonly apps: readonly { readonly appleItemId: string; readonly appleVersionId: string }[];
};

/** An app of this service, and what is known of its packages. */
type OfferedApp = {
  readonly appShareUrl?: string | undefined;
  readonly versions: readonly AppVersion[];
  readonly rules: VersionRules;
};

/** What the answers are made with. */
export type AnswerParts = {
  /** Undefined for an app that is not one of this service. */
  appOf(appleItemId: string, requestedVersionId: string): OfferedApp | undefined;
  /** One install verification token. Throws a WebdistError. */
  issue(appleItemId: string, appleVersionId: string): Promise<string>;
  /** What stands for the device in a staged release. */
  readonly who: string;
  /** Hears of a failure that is nobody's fault but this service's. */
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

/** Answers a restore request. Throws only when nothing could be served for want of something temporary. */
export async function answerRestore(request: DeviceRequest, parts: AnswerParts) {
  const { entries, failures } = await answerAll(request, parts, chooseRestore);
  return { restores: entries.map(({ entry }) => entry), ...(failures.length > 0 && { failures }) };
}

/** Answers an update request: only what is newer. Throws as `answerRestore` does. */
export async function answerUpdates(request: DeviceRequest, parts: AnswerParts) {
  const { entries, failures } = await answerAll(request, parts, (choice) => {
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

async function answerAll({ apps, ...device }: DeviceRequest, parts: AnswerParts, choose: Choose) {
  const outcomes = await Promise.all(
    apps.map(async ({ appleItemId, appleVersionId: requested }): Promise<Outcome> => {
      const app = parts.appOf(appleItemId, requested);
      if (!app) return failureOf(appleItemId, requested, 'This app is not offered here.');
      const chosen = choose({ requested, device, versions: app.versions, rules: app.rules, who: parts.who });
      if (!chosen) return undefined;
      if ('reason' in chosen) return failureOf(appleItemId, requested, chosen.reason);
      return entryFor(appleItemId, app, chosen.version, parts);
    }),
  );
  const entries = outcomes.filter((outcome) => outcome !== undefined && 'entry' in outcome);
  const errors = outcomes.filter((outcome) => outcome !== undefined && 'error' in outcome);
  // To say "not available" of everything would be a lie a device believes; this way it asks again.
  if (entries.length === 0 && errors[0]) throw errors[0].error;
  const failures = outcomes.flatMap((outcome, index) => {
    const asked = apps[index];
    if (!outcome || !asked) return [];
    if ('failure' in outcome) return [outcome];
    return 'error' in outcome ? [failureOf(asked.appleItemId, asked.appleVersionId, outcome.error.title)] : [];
  });
  return { entries, failures };
}

async function entryFor(
  appleItemId: string,
  app: OfferedApp,
  version: AppVersion,
  parts: AnswerParts,
): Promise<Outcome> {
  const { appleVersionId, packageUrl } = version;
  try {
    const entry = {
      appleItemId,
      appleVersionId,
      alternativeDistributionPackage: packageUrl,
      installVerificationToken: await parts.issue(appleItemId, appleVersionId),
      ...(app.appShareUrl !== undefined && { appShareURL: app.appShareUrl }),
    };
    return { entry, version };
  } catch (error) {
    const problem = isWebdistError(error)
      ? error
      : new WebdistError('internal_error', 'The token could not be made.', { cause: error });
    parts.failed(appleItemId, problem);
    return { error: problem };
  }
}

const failureOf = (appleItemId: string, appleVersionId: string, description: string): Failure => ({
  appleItemId,
  appleVersionId,
  failure: { code: 404, description },
});
