/** `webdist packages hold`, `resume` and `use`: select the version that running services give to devices. */

import { join } from 'node:path';
import { isAppleId } from '../../apple-id.ts';
import { packagesSettings, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { versionFolder, versionsIn } from '../../packages/layout.ts';
import { readManifestFile } from '../../packages/manifest.ts';
import { giveOrder, type OrderOptions } from '../orders.ts';
import { say } from '../terminal.ts';

export const holdVersion = (version: string, options: OrderOptions): Promise<void> =>
  giveOrder(
    options,
    async ({ appleItemId }) => ({ act: 'hold', appleItemId, appleVersionId: (await find(appleItemId, version)).id }),
    ({ bundleId }) => `No device gets ${version} of ${bundleId}, until webdist packages resume.`,
  );

export const resumeVersion = (version: string, options: OrderOptions): Promise<void> =>
  giveOrder(
    options,
    async ({ appleItemId }) => ({ act: 'release', appleItemId, appleVersionId: (await find(appleItemId, version)).id }),
    ({ bundleId }) => `Devices get ${version} of ${bundleId} again.`,
  );

/** The word for going back to the newest version. */
const NEWEST = 'newest';

export const useVersion = (version: string, options: OrderOptions): Promise<void> =>
  giveOrder(
    options,
    async ({ appleItemId }) => {
      if (version === NEWEST) return { act: 'use', appleItemId, appleVersionId: undefined };
      const { id, isHere } = await find(appleItemId, version);
      if (!isHere)
        say(
          `The packages folder has no version ${version}. A service that has no package of this version continues as before.`,
        );
      return { act: 'use', appleItemId, appleVersionId: id };
    },
    ({ bundleId }) =>
      `Links and updates give the ${version === NEWEST ? 'newest version' : `version ${version}`} of ${bundleId}.`,
  );

/** Finds a version by its AppleVersionID, or by a name such as 1.4.0 if its package is in the packages folder. */
async function find(appleItemId: string, version: string): Promise<{ readonly id: string; readonly isHere: boolean }> {
  const { dir } = packagesSettings(processSettings());
  for (const id of await versionsIn(dir, appleItemId)) {
    const manifest = await readManifestFile(join(versionFolder(dir, appleItemId, id), 'manifest.json'));
    if (id === version || manifest.shortVersionString === version) return { id, isHere: true };
  }
  if (isAppleId(version)) return { id: version, isHere: false };
  throw new WebdistError('usage_invalid', `The packages folder has no version "${version}" of that app.`, {
    hint: 'Name it by its AppleVersionID, which `webdist packages list` shows.',
  });
}
