/** Vendor SDKs are optional packages, loaded when a setting needs one. */

import { WebdistError } from '../errors.ts';

/**
 * Loads an SDK. `neededBy` is what needs the package (`A locator awskms:`), and `load` is its `import()`.
 * Throws `config_invalid` with one sentence if the package is not installed or cannot be loaded.
 */
export async function loadSdk<Sdk>(packageName: string, neededBy: string, load: () => Promise<Sdk>): Promise<Sdk> {
  try {
    return await load();
  } catch (cause) {
    const state =
      (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' ? 'is not installed' : 'cannot be loaded';
    throw new WebdistError('config_invalid', `${neededBy} needs the package ${packageName}, which ${state}.`, {
      hint: `Install it with: npm install ${packageName}`,
      cause,
    });
  }
}
