/** The release notes: the section of the changelog, and figures. */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changelogOf } from './checks.ts';
import { description, outputOf, root } from './run.ts';

type Bench = {
  readonly date: string;
  readonly machine: string;
  readonly figures: Readonly<Record<string, { readonly median: number }>>;
};

/** Rows of the table of figures: what, and the row of `npm run bench`, in microseconds of CPU. */
const TIMES = { 'one signature (ES256)': 'signature', 'one token, signature included': 'JWS' };

/** Writes RELEASE_NOTES.md; the other artefacts must be there. */
export function releaseNotes(out: string): undefined {
  const { version } = description;
  const changes = changelogOf(version) ?? changelogOf('Unreleased') ?? '';
  const bench = JSON.parse(readFileSync(join(root, 'test/bench/baseline.json'), 'utf8')) as Bench;
  const rows = [
    ...readdirSync(out).map((name) => [name, `${(statSync(join(out, name)).size / 1024).toFixed(0)} KiB`]),
    ['direct dependencies of the npm package', Object.keys(description.dependencies).length],
    ...Object.entries(TIMES).map(([what, row]) => [what, `${bench.figures[row]?.median.toFixed(1)} µs`]),
  ];
  const figures = rows.map(([what, figure]) => `| ${what} | ${figure} |`).join('\n');
  const commit = outputOf('git', ['rev-parse', 'HEAD']).trim();
  const text = `# webdist ${version}

${changes}

## Figures

| what | figure |
| --- | --- |
${figures}

Times: \`npm run bench\`, ${bench.date.slice(0, 10)}, ${bench.machine}. Commit ${commit}.
Checksums are in SHA256SUMS; docs/supply-chain.md says how to verify signatures.
`;
  writeFileSync(join(out, 'RELEASE_NOTES.md'), text);
}
