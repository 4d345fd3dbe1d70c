/** Chooses the version that a restore or an update request gets. Pure. */

import { type AppVersion, compareVersions, type Device, runsOn } from '../packages/versions.ts';
import { isHeld, isInStage, type VersionRules } from './rollout.ts';

/** How a request to restore a version on hold is answered: with the newest other version, or with a failure. Default: `other`. */
export type HeldRestore = 'other' | 'fail';

/** The inputs of a choice. */
export type Choice = {
  /** AppleVersionID of the version that the device has, or wants back. */
  readonly requested: string;
  readonly device: Device;
  /** All versions that have a package. */
  readonly versions: readonly AppVersion[];
  readonly rules: VersionRules;
  /** The AppleVersionID to give to every device, except one that restores its own version; undefined: the newest. */
  readonly used?: string | undefined;
  /** Identifies the device in a staged release. */
  readonly who: string;
  readonly heldRestore?: HeldRestore;
};

/** A version, or the reason why there is none, for the device's log. */
export type Chosen = { readonly version: AppVersion } | { readonly reason: string };

/**
 * Returns the requested version if its package exists, because an install from a link and the restore that belongs to it
 * must be of the same version (docs/apple-facts.md §10 line 30). Otherwise returns the newest released version, so that
 * the app is restored, even if in a newer version.
 */
export function chooseRestore(choice: Choice): Chosen {
  const { requested, device, rules, heldRestore } = choice;
  if (heldRestore === 'fail' && isHeld(rules, requested)) return { reason: HELD };
  const exact = choice.versions.find((version) => version.appleVersionId === requested);
  if (exact && !isHeld(rules, requested) && runsOn(exact, device)) return { version: exact };
  return newestOf(choice) ?? { reason: reasonFor(choice) };
}

/** Returns the newest version that runs on the device if it is newer than the installed one, else undefined. */
export function chooseUpdate(choice: Choice): AppVersion | undefined {
  const installed = choice.versions.find((version) => version.appleVersionId === choice.requested);
  const newest = newestOf(choice)?.version;
  const isNewer = newest && compareVersions(newest, installed ?? { appleVersionId: choice.requested }) > 0;
  return isNewer ? newest : undefined;
}

function newestOf({ versions, device, rules, used, who }: Choice): { readonly version: AppVersion } | undefined {
  const fitting = versions.filter(
    (version) =>
      (used === undefined ? isInStage(rules, version.appleVersionId, who) : version.appleVersionId === used) &&
      !isHeld(rules, version.appleVersionId) &&
      runsOn(version, device),
  );
  const version = fitting.toSorted(compareVersions).at(-1);
  return version && { version };
}

const HELD = 'This version is on hold.';

function reasonFor({ versions, device, rules }: Choice): string {
  if (versions.length === 0) return 'There is no package of this app here.';
  if (versions.every((version) => !runsOn(version, device)))
    return `No version of this app runs on ${device.platform} ${device.osVersion ?? ''}`.trim().concat('.');
  return versions.some(({ appleVersionId }) => isHeld(rules, appleVersionId))
    ? HELD
    : 'This version is not released yet.';
}
