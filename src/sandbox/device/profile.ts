/**
 * The kind and the location of the simulated device, which decide whether it may install apps from websites
 * (docs/apple-facts.md §8).
 */

import { refusal } from './journey.ts';

/** Platform, system version, model and location of the device. */
export type DeviceProfile = {
  readonly platform: 'iOS' | 'iPadOS';
  readonly osVersion: string;
  readonly model: string;
  readonly capabilities: readonly string[];
  /** ISO 3166-1 alpha-2, upper case: of the Apple Account, and where the device is. */
  readonly region: string;
};

export const defaultProfile: DeviceProfile = {
  platform: 'iOS',
  osVersion: '18.5',
  model: 'iPhone14,5',
  capabilities: ['arm64'],
  region: 'IE',
};

/** Japan and Brazil allow marketplaces, but no other apps from websites. */
const europeanUnion = 'AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK'.split(' ');

/** Returns a summary. Throws a refusal. */
export function eligibility({ platform, osVersion, region }: DeviceProfile): string {
  const minimum = platform === 'iPadOS' ? '18' : '17.5';
  if (isOlder(osVersion, minimum))
    throw refusal(
      35,
      'featureUnavailable',
      `${platform} ${osVersion} cannot install apps from websites, ${minimum} can`,
    );
  if (!europeanUnion.includes(region))
    throw refusal(35, 'featureUnavailable', `the device is in ${region}, not in the European Union`);
  return `${platform} ${osVersion} in ${region}`;
}

/** Compares version numbers part by part. */
export function isOlder(version: string, minimum: string): boolean {
  const [own, least] = [version, minimum].map((text) => text.split('.').map(Number));
  for (const [index, part] of (least ?? []).entries()) {
    const difference = (own?.[index] ?? 0) - part;
    if (difference !== 0) return difference < 0;
  }
  return false;
}
