/**
 * Stopping a bad release: a version on hold is given to nobody, a staged one as an update to a share of the devices.
 * Pure.
 */

import { createHash } from 'node:crypto';

/** What an operator said of one version. */
type VersionRule = { readonly hold: true } | { readonly percent: number };

/** By AppleVersionID. */
export type VersionRules = Readonly<Record<string, VersionRule>>;

/** Whether a version is on hold. */
export const isHeld = (rules: VersionRules, appleVersionId: string): boolean => {
  const rule = rules[appleVersionId];
  return rule !== undefined && 'hold' in rule;
};

/**
 * Whether `who`, anything that stays the same for a device, is among the first devices to get a version. Raising the
 * percentage only ever adds devices, and every version begins with other ones.
 */
export function isInStage(rules: VersionRules, appleVersionId: string, who: string): boolean {
  const rule = rules[appleVersionId];
  if (rule === undefined) return true;
  if ('hold' in rule) return false;
  return bucketOf(`${appleVersionId} ${who}`) < rule.percent;
}

/** 0 to 99, evenly. */
const bucketOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0) % 100;
