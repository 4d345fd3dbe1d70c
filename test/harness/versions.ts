/** A folder of packages, as `webdist packages pull` leaves it. */

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The app of `settingsIn`. */
export const appleItemId = '6500000001';

/** Puts the package of a version into the folder. */
export function putVersion(dir: string, appleVersionId: string, shortVersionString: string): void {
  const versions = join(dir, appleItemId, 'versions');
  const revision = `${appleVersionId}.${'0'.repeat(32)}`;
  mkdirSync(join(versions, revision), { recursive: true });
  const manifest = {
    appleItemId,
    bundleId: 'com.example.trailmap',
    appleVersionId,
    shortVersionString,
    platforms: ['ios'],
  };
  writeFileSync(join(versions, revision, 'manifest.json'), JSON.stringify(manifest));
  symlinkSync(revision, join(versions, appleVersionId));
}

/** Makes the package of a version the current one. */
export const makeCurrent = (dir: string, appleVersionId: string): void =>
  symlinkSync(`versions/${appleVersionId}`, join(dir, appleItemId, 'current'));
