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
  giveOrder(options, async ({ appleItemId, bundleId }) => {
    const found = await find(appleItemId, version);
    if (!found.isHere)
      say(
        `The packages folder has no version ${version}. If it may be misspelt, compare it with the versions in \`webdist status\`.`,
      );
    return {
      order: { act: 'hold', appleItemId, appleVersionId: found.id },
      change: { action: `hold version ${version} of ${bundleId}`, effect: 'No device then gets it.' },
      mayHarm: true,
      done: `No device gets ${version} of ${bundleId}. To end the hold, run webdist packages resume.`,
      already: `Version ${version} of ${bundleId} was on hold already.`,
    };
  });

export const resumeVersion = (version: string, options: OrderOptions): Promise<void> =>
  giveOrder(options, async ({ appleItemId, bundleId }) => ({
    order: { act: 'release', appleItemId, appleVersionId: (await find(appleItemId, version)).id },
    change: { action: `end the hold of version ${version} of ${bundleId}` },
    mayHarm: false,
    done: `Devices get ${version} of ${bundleId} again.`,
    already: `Version ${version} of ${bundleId} was not on hold.`,
  }));

/** The word for going back to the newest version. */
const NEWEST = 'newest';

export const useVersion = (version: string, options: OrderOptions): Promise<void> =>
  giveOrder(options, async ({ appleItemId, bundleId }) => {
    const found = version === NEWEST ? undefined : await find(appleItemId, version);
    if (found && !found.isHere)
      say(
        `The packages folder has no version ${version}. A service that has no package of this version continues as before.`,
      );
    if (found && packagesSettings(processSettings()).url === undefined)
      say(
        'WEBDIST_PACKAGES_URL is not set here. A service without it knows only the package at WEBDIST_PACKAGE_URL, and continues as before.',
      );
    const given = version === NEWEST ? 'the newest version' : `version ${version}`;
    return {
      order: { act: 'use', appleItemId, appleVersionId: found?.id },
      change: { action: `give ${given} of ${bundleId} to every device` },
      mayHarm: true,
      done: `Links and updates now give ${given} of ${bundleId}.`,
      already: `Links and updates gave ${given} of ${bundleId} already.`,
      ...(found && {
        fulfilment: {
          isIn: ({ apps }) => apps.every((app) => app.appleItemId !== appleItemId || app.appleVersionId === found.id),
          failure:
            'They need WEBDIST_PACKAGES_URL and a package of this version there; see webdist packages list and webdist status.',
        },
      }),
    };
  });

/** Finds a version by its AppleVersionID, or by a name such as 1.4.0 if its package is in the packages folder. */
async function find(appleItemId: string, version: string): Promise<{ readonly id: string; readonly isHere: boolean }> {
  const { dir } = packagesSettings(processSettings());
  for (const id of await versionsIn(dir, appleItemId)) {
    const manifest = await readManifestFile(join(versionFolder(dir, appleItemId, id), 'manifest.json'));
    if (id === version || manifest.shortVersionString === version) return { id, isHere: true };
  }
  if (isAppleId(version)) return { id: version, isHere: false };
  throw new WebdistError('usage_invalid', `The packages folder has no version "${version}" of that app.`, {
    hint: 'Use its AppleVersionID, which `webdist status` and `webdist packages pull --dry-run` show.',
  });
}
