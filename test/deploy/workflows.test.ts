/** The workflows: every action pinned to a commit, no permission that a job does not name, and nothing that actionlint finds. */

import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';

type Workflow = {
  readonly permissions?: object;
  readonly jobs: Readonly<Record<string, { readonly permissions?: object; readonly 'runs-on': string }>>;
};

const files = globSync('.github/workflows/*.yml').sort();
const noActionlint = spawnSync('actionlint', ['-version']).status !== 0 && 'actionlint is not installed';

t.strictSame(files, ['.github/workflows/ci.yml', '.github/workflows/release.yml']);

for (const file of files)
  t.test(file, async (t) => {
    const text = readFileSync(file, 'utf8');
    const uses = [...text.matchAll(/\buses: (.+)$/gm)].map(([, action]) => action ?? '');
    const loose = uses.filter((action) => !/^[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action));
    t.strictSame(loose, [], 'pinned to a commit, with the version beside it');

    const { permissions, jobs } = parse(text) as Workflow;
    t.strictSame(permissions, {}, 'no right by default');
    for (const [name, job] of Object.entries(jobs)) {
      t.ok(job.permissions, `${name} names its rights`);
      t.match(job['runs-on'], /-\d/, `${name} runs on a named version`);
    }
    t.notMatch(text, /secrets\./, 'no stored secret: publishing uses the identity of the workflow');
    t.notMatch(text, /pull_request_target/);
    // A value in a script would be code there; it belongs in `env`. GitHub itself chooses the number of the run.
    const scripts = [...text.matchAll(/^\s*(?:- )?run: (?:\|\n((?:\s{10,}.*\n)+)|(.*))/gm)].map(
      ([, block, line]) => block ?? line,
    );
    const values = scripts.flatMap((script) => script?.match(/\$\{\{.*?\}\}/g) ?? []);
    t.strictSame(
      values.filter((value) => !value.includes(' github.run_id ')),
      [],
    );
  });

t.test('one action, one version', async (t) => {
  const versions = new Map<string, Set<string>>();
  for (const file of files)
    for (const [, action = '', version = ''] of readFileSync(file, 'utf8').matchAll(/\buses: ([^@]+)@(.+)$/gm))
      versions.set(action, (versions.get(action) ?? new Set()).add(version));
  for (const [action, found] of versions) t.equal(found.size, 1, action);
});

t.test('actionlint', { skip: noActionlint }, async (t) => {
  const { status, stdout } = spawnSync('actionlint', ['-no-color', ...files], { encoding: 'utf8' });
  t.equal(status, 0, stdout);
});

t.test('the release runs on a tag only, and publishes what `npm run release` made', async (t) => {
  const release = parse(readFileSync('.github/workflows/release.yml', 'utf8'));
  t.strictSame(release.on, { push: { tags: ['v*.*.*'] } });
  const { jobs } = release;
  for (const [name, needs] of Object.entries({ npm: 'build', image: 'build', publish: ['npm', 'image'] }))
    t.strictSame(jobs[name].needs, needs, name);
  const runs = (name: string) => jobs[name].steps.map((step: { run?: string }) => step.run ?? '').join('\n');
  t.match(runs('build'), 'npm run release -- --out artifacts/release');
  t.notMatch(runs('build'), '--dry-run');
  t.match(runs('npm'), /sha256sum --check SHA256SUMS[\s\S]*npm publish --provenance/);
  t.match(
    runs('image'),
    /--platform linux\/amd64,linux\/arm64[\s\S]*--sbom=true --provenance=mode=max[\s\S]*cosign sign/,
  );
  t.match(runs('publish'), /cosign sign-blob[\s\S]*helm push[\s\S]*gh release create/);
});
