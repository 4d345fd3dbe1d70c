/** The version of this webdist, from its package.json. */

import { readFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Semantic version, e.g. `1.2.3`. */
export { version };
