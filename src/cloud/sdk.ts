/** Vendor SDKs are optional peer dependencies, loaded when a setting needs one. */

import { WebdistError } from '../errors.ts';

/**
 * Checks that packages are installed. `neededBy` is what needs them (`A locator awskms:`). Throws `config_invalid` with
 * one sentence that names the missing ones.
 */
export function requireInstalled(neededBy: string, packageNames: readonly string[] = []): void {
  const missing = packageNames.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const [noun, verb] = missing.length === 1 ? ['package', 'is'] : ['packages', 'are'];
  throw new WebdistError(
    'config_invalid',
    `${neededBy} needs the ${noun} ${missing.join(' and ')}, which ${verb} not installed.`,
    { hint: `Install beside webdist: npm install ${missing.join(' ')}` },
  );
}

/**
 * Loads an SDK, which `requireInstalled` found; `load` is its `import()`. Throws `config_invalid` with one sentence if the
 * package cannot be loaded.
 */
export async function loadSdk<Sdk>(packageName: string, neededBy: string, load: () => Promise<Sdk>): Promise<Sdk> {
  try {
    return await load();
  } catch (cause) {
    throw new WebdistError('config_invalid', `${neededBy} needs the package ${packageName}, which cannot be loaded.`, {
      hint: `Build it again: npm rebuild ${packageName}`,
      cause,
    });
  }
}

function isInstalled(packageName: string): boolean {
  try {
    import.meta.resolve(packageName);
    return true;
  } catch {
    return false;
  }
}
