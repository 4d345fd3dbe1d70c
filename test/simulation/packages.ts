/** The packages folder, which all replicas read, and the versions of the app in it. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SimulatedApple } from './apple.ts';
import { trueTime } from './world/scheduler.ts';

export const PACKAGES_URL = 'https://packages.example';

export type Packages = ReturnType<typeof openPackages>;

/** Makes the folder, with two versions. */
export function openPackages(folder: string, { id: appleItemId, bundleId }: SimulatedApple['app']) {
  /** When each version was published, by AppleVersionID, oldest first. */
  const publishedAt = new Map<string, number>();
  const publish = (): string => {
    const number = publishedAt.size + 1;
    const appleVersionId = String(2_000_000_000 + number);
    const version = join(folder, appleItemId, 'versions', appleVersionId);
    mkdirSync(version, { recursive: true });
    const manifest = { appleItemId, bundleId, appleVersionId, shortVersionString: `1.${number}`, platforms: ['ios'] };
    writeFileSync(join(version, 'manifest.json'), JSON.stringify(manifest));
    const current = join(folder, appleItemId, 'current');
    rmSync(current, { force: true });
    symlinkSync(join('versions', appleVersionId), current);
    publishedAt.set(appleVersionId, trueTime());
    return appleVersionId;
  };
  publish();
  publish();
  return {
    publishedAt,
    /** `webdist packages pull` has pulled a new version. Returns its id. */
    publish,
    /** The version with this number, from 1; of the published ones, if it is larger. */
    version: (number: number): string => [...publishedAt.keys()][(number - 1) % publishedAt.size] ?? '',
  };
}
