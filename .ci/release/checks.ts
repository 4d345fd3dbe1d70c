/** What must be true before a release. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { description, outputOf, root } from './run.ts';

const { version } = description;
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** The section of a version in CHANGELOG.md, without its heading; undefined if there is none. */
export const changelogOf = (wanted: string): string | undefined =>
  read('CHANGELOG.md')
    .split(/^## /m)
    .find((section) => section.startsWith(`[${wanted}]`))
    ?.replace(/^.*\n/, '')
    .trim();

/** What stops a release, in sentences. */
export function problems(): string[] {
  const found: string[] = [];
  if (outputOf('git', ['status', '--porcelain'])) found.push('The work tree has changes that are not committed.');
  if (!outputOf('git', ['tag', '--points-at', 'HEAD']).split('\n').includes(`v${version}`))
    found.push(`HEAD does not have the tag v${version}.`);
  if (!changelogOf(version)) found.push(`CHANGELOG.md has no section for ${version}.`);
  if (changelogOf('Unreleased')) found.push('CHANGELOG.md has changes under "Unreleased": move them to a version.');
  if (!description.repository)
    found.push('package.json names no repository, which npm needs for provenance: npm pkg set repository=URL');
  const chart = parse(read('deploy/helm/webdist/Chart.yaml'));
  for (const [name, other] of Object.entries({
    'version of the chart': chart.version,
    'appVersion of the chart': chart.appVersion,
    'VERSION in the Dockerfile': /^ARG VERSION=(.+)$/m.exec(read('Dockerfile'))?.[1],
  }))
    if (other !== version) found.push(`The ${name} is ${other}, not ${version}.`);
  return found;
}
