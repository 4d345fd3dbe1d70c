/** Which version a restore and which an update answers with. Pure. */

import { type AppVersion, compareVersions, type Device, runsOn } from '../packages/versions.ts';
import { isHeld, isInStage, type VersionRules } from './rollout.ts';

export type Choice = {
  /** AppleVersionID the device has, or wants back. */
  readonly requested: string;
  readonly device: Device;
  /** Every version there is a package of. */
  readonly versions: readonly AppVersion[];
  readonly rules: VersionRules;
  /** What stands for the device in a staged release. */
  readonly who: string;
};

/** A version, or why there is none, in words for the device's log. */
export type Chosen = { readonly version: AppVersion } | { readonly reason: string };

/**
 * The version asked for, as long as its package is there: a link's install and its restore are of one version
 * (docs/apple-facts.md §10 line 30). Otherwise the newest one that is given out: the app comes back, if newer than it was.
 */
export function chooseRestore(choice: Choice): Chosen {
  const { requested, device, rules } = choice;
  const exact = choice.versions.find((version) => version.appleVersionId === requested);
  if (exact && !isHeld(rules, requested) && runsOn(exact, device)) return { version: exact };
  return newestOf(choice) ?? { reason: reasonFor(choice) };
}

/** The newest version the device can have, if it is newer than what it has; undefined when there is none. */
export function chooseUpdate(choice: Choice): AppVersion | undefined {
  const installed = choice.versions.find((version) => version.appleVersionId === choice.requested);
  const newest = newestOf(choice)?.version;
  const isNewer = newest && compareVersions(newest, installed ?? { appleVersionId: choice.requested }) > 0;
  return isNewer ? newest : undefined;
}

function newestOf({ versions, device, rules, who }: Choice): { readonly version: AppVersion } | undefined {
  const fitting = versions.filter(
    (version) => isInStage(rules, version.appleVersionId, who) && runsOn(version, device),
  );
  const version = fitting.toSorted(compareVersions).at(-1);
  return version && { version };
}

function reasonFor({ versions, device, rules }: Choice): string {
  if (versions.length === 0) return 'No package of this app is here.';
  if (versions.every((version) => !runsOn(version, device)))
    return `No version of this app runs on ${device.platform} ${device.osVersion ?? ''}`.trim().concat('.');
  return versions.some(({ appleVersionId }) => isHeld(rules, appleVersionId))
    ? 'This version is on hold.'
    : 'This version is not given out yet.';
}
