/** Writes generated JSON files. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** Writes a value as JSON, in the format that `npm run check` requires. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value, undefined, 2));
  execFileSync('node_modules/.bin/biome', ['format', '--write', path]);
}
