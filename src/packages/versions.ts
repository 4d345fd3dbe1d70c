/**
 * Decides which versions of an app a device can run, and orders versions (docs/apple-facts.md §3.2, §3.3, §5.3). Pure.
 */

/** One version of an app, as the manifest of its package describes it, and the URL of the package. */
export type AppVersion = {
  readonly appleVersionId: string;
  readonly shortVersionString?: string | undefined;
  readonly bundleVersion?: string | undefined;
  /** Absent if unknown. */
  readonly platforms?: readonly string[] | undefined;
  /** By platform. */
  readonly minimumSystemVersions?: Readonly<Record<string, string>> | undefined;
  /** Base URL of the package. */
  readonly packageUrl: string;
};

/** The facts about the device in a request. Absent values are not compared. */
export type Device = { readonly platform?: string | undefined; readonly osVersion?: string | undefined };

/**
 * Compares numbers separated by dots: `1.10` is after `1.9`, and `1.0` equals `1`. In each component, only the leading
 * digits count. Returns a negative number, zero or a positive number.
 */
export function compareDotted(one: string, other: string): number {
  const [left, right] = [one, other].map((text) => text.trim().split('.').map(leadingNumber));
  for (let index = 0; index < Math.max(left?.length ?? 0, right?.length ?? 0); index++) {
    const difference = (left?.[index] ?? 0n) - (right?.[index] ?? 0n);
    if (difference !== 0n) return difference < 0n ? -1 : 1;
  }
  return 0;
}

const leadingNumber = (text: string): bigint => BigInt(/^\d{1,40}/.exec(text)?.[0] ?? '0');

/**
 * Orders the versions of one app, oldest first: by version, build and AppleVersionID. If only the id of one of them is
 * known, compares the ids. As far as is known, Apple assigns ids in ascending order.
 */
export function compareVersions(one: Partial<AppVersion>, other: Partial<AppVersion>): number {
  const byName =
    one.shortVersionString !== undefined && other.shortVersionString !== undefined
      ? compareDotted(one.shortVersionString, other.shortVersionString) ||
        compareDotted(one.bundleVersion ?? '0', other.bundleVersion ?? '0')
      : 0;
  return byName || compareDotted(one.appleVersionId ?? '0', other.appleVersionId ?? '0');
}

/** Whether the device can run the version. iPadOS runs iOS apps; Apple's manifests do not name iPadOS (docs/apple-facts.md §3.2). */
export function runsOn(version: AppVersion, { platform, osVersion }: Device): boolean {
  if (platform === undefined) return true;
  const own = platform.toLowerCase();
  const names = own === 'ipados' ? ['ipados', 'ios'] : [own];
  const name = names.find((one) => version.platforms?.some((listed) => listed.toLowerCase() === one));
  if (version.platforms && name === undefined) return false;
  const minimums = Object.entries(version.minimumSystemVersions ?? {});
  const minimum = names.flatMap((one) => minimums.filter(([listed]) => listed.toLowerCase() === one))[0]?.[1];
  return minimum === undefined || osVersion === undefined || compareDotted(osVersion, minimum) >= 0;
}
