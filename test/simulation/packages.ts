/** The packages folder, which all replicas read, and the versions of the app in it. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SimulatedApple } from './apple.ts';

export const PACKAGES_URL = 'https://packages.example';

export type Packages = ReturnType<typeof openPackages>;

/** Makes the folder, with two versions. */
export function openPackages(folder: string, { id: appleItemId, bundleId }: SimulatedApple['app']) {
  /** The AppleVersionIDs, oldest first. */
  const published: string[] = [];
  const publish = (): string => {
    const number = published.length + 1;
    const appleVersionId = String(2_000_000_000 + number);
    const version = join(folder, appleItemId, 'versions', appleVersionId);
    mkdirSync(version, { recursive: true });
    const manifest = { appleItemId, bundleId, appleVersionId, shortVersionString: `1.${number}`, platforms: ['ios'] };
    writeFileSync(join(version, 'manifest.json'), JSON.stringify(manifest));
    const current = join(folder, appleItemId, 'current');
    rmSync(current, { force: true });
    symlinkSync(join('versions', appleVersionId), current);
    published.push(appleVersionId);
    return appleVersionId;
  };
  return {
    /** The versions that were there before the replicas started. */
    first: [publish(), publish()],
    /** `webdist packages pull` has pulled a new version. Returns its id. */
    publish,
    /**
     * Returns the version with this number, counted from 1. A larger number than there are published versions starts
     * again at 1.
     */
    version: (number: number): string => published[(number - 1) % published.length] ?? '',
  };
}
