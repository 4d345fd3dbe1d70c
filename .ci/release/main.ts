/**
 * `npm run release -- [--dry-run] [--quick] [--image NAME] [--out FOLDER]`: everything of a release that needs no account.
 * Checks, tests, then every artefact in one folder, with checksums. What is left (publishing) is printed as commands.
 *
 *   --dry-run      report what would stop the release, and continue
 *   --quick        without the tests, the documentation and an image of its own: CI has run them
 *   --image NAME   save this image instead of building one
 *   --out FOLDER   where the artefacts go; it must be empty or from an earlier run; default: artifacts/release
 */

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chart, checksums, image, npmPackages, site, softwareBill } from './artefacts.ts';
import { problems } from './checks.ts';
import { releaseNotes } from './notes.ts';
import { description, root, run } from './run.ts';

const { values: given } = parseArgs({
  options: {
    'dry-run': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    image: { type: 'string' },
    out: { type: 'string', default: join(root, 'artifacts/release') },
  },
});
const { version } = description;
const out = resolve(given.out);

const step = (name: string) => console.log(`\n== ${name}`);

step(`webdist ${version}`);
const found = problems();
for (const problem of found) console.log(`${given['dry-run'] ? 'would stop the release' : 'stop'}: ${problem}`);
if (found.length > 0 && !given['dry-run']) process.exit(1);

if (!given.quick) {
  step('tests');
  run('npm', ['run', 'check']);
  run('npm', ['test']);
}

mkdirSync(out, { recursive: true });
const before = readdirSync(out);
if (before.length > 0 && !before.includes('SHA256SUMS')) {
  console.error(`${out} has other files; choose another folder with --out.`);
  process.exit(1);
}
for (const name of before) rmSync(join(out, name), { recursive: true });

const skipped: string[] = [];
const make = (name: string, work: () => string | undefined) => {
  step(name);
  const reason = work();
  if (reason === undefined) return;
  skipped.push(`${name}: ${reason}`);
  console.log(`skipped: ${reason}`);
};
make('npm packages', () => npmPackages(out));
make('bill of materials', () => softwareBill(out));
make('Helm chart', () => chart(out));
make('image', () => image(out, given.image, given.quick));
make('documentation', () => (given.quick ? '--quick' : site(out)));
make('release notes', () => releaseNotes(out));
checksums(out);

step(`artefacts in ${out}`);
for (const name of readdirSync(out).sort())
  console.log(`${(statSync(join(out, name)).size / 1024).toFixed(0).padStart(8)} KiB  ${name}`);
for (const line of skipped) console.log(`skipped: ${line}`);

step('not done: these need accounts; .github/workflows/release.yml does them for a tag');
for (const line of [
  `git tag -s v${version} && git push origin v${version}`,
  `npm publish --provenance webdist-${version}.tgz`,
  `npm publish --provenance webdist-button-${version}.tgz`,
  'docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max --push .',
  'cosign sign IMAGE@DIGEST (keyless), cosign sign-blob SHA256SUMS (keyless)',
  `helm push webdist-chart-${version}.tgz oci://REGISTRY`,
  `gh release create v${version} --notes-file RELEASE_NOTES.md, with the files of this folder`,
])
  console.log(`  ${line}`);
