/**
 * Limits the damage of a bad release: no device gets a version on hold, and only a share of the devices gets a staged
 * version as an update. Pure.
 */

import { createHash } from 'node:crypto';

/** What the operator configured for one version. */
type VersionRule = { readonly hold: true } | { readonly percent: number };

/** By AppleVersionID. */
export type VersionRules = Readonly<Record<string, VersionRule>>;

/** The rules with more versions on hold. */
export const withHeld = (rules: VersionRules, held: readonly string[]): VersionRules =>
  held.length === 0 ? rules : { ...rules, ...Object.fromEntries(held.map((id) => [id, { hold: true } as const])) };

/** Whether a version is on hold. */
export const isHeld = (rules: VersionRules, appleVersionId: string): boolean => {
  const rule = rules[appleVersionId];
  return rule !== undefined && 'hold' in rule;
};

/**
 * Whether `who`, which must be constant for a device, is among the first devices to get a version. Raising the percentage
 * only adds devices, and each version starts with different ones.
 */
export function isInStage(rules: VersionRules, appleVersionId: string, who: string): boolean {
  const rule = rules[appleVersionId];
  if (rule === undefined) return true;
  if ('hold' in rule) return false;
  return bucketOf(`${appleVersionId} ${who}`) < rule.percent;
}

/** 0 to 99, evenly distributed. */
const bucketOf = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE(0) % 100;
