/** The artefacts of a release. Each function writes into the folder `out`, and returns why it could not, if it could not. */

import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { description, outputOf, root, run, works } from './run.ts';

const { version } = description;

/** Both npm packages. */
export function npmPackages(out: string): undefined {
  run('npm', ['run', '--silent', 'build']);
  for (const folder of ['.', './dist/button-package'])
    run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', out, folder]);
}

/** What the image has from npm, as CycloneDX: the packages of the npm package, and the vendors' SDKs. */
export function softwareBill(out: string): undefined {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bill-'));
  try {
    for (const name of ['package.json', 'package-lock.json', 'docker'])
      cpSync(join(root, name), join(folder, name), { recursive: true });
    run('docker/production-package.sh', ['--with-sdks'], folder);
    writeFileSync(join(out, `webdist-${version}.cdx.json`), outputOf('docker/bill-of-materials.sh', [], folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function chart(out: string): string | undefined {
  if (!works('helm', ['version'])) return 'there is no helm here';
  // In a folder of its own, because the npm package has the same name.
  const folder = join(out, 'chart');
  run('helm', ['package', 'deploy/helm/webdist', '--destination', folder]);
  renameSync(join(folder, `webdist-${version}.tgz`), join(out, `webdist-chart-${version}.tgz`));
  rmSync(folder, { recursive: true });
  return undefined;
}

/** An archive of the image for `docker load`. */
export function image(out: string, existing: string | undefined, quick: boolean): string | undefined {
  if (!works('docker', ['info'])) return 'there is no Docker engine here';
  if (existing === undefined && quick) return '--quick without --image';
  const name = `webdist:${version}`;
  if (existing === undefined) {
    const revision = outputOf('git', ['rev-parse', 'HEAD']).trim();
    run('docker', [
      'build',
      '--build-arg',
      `VERSION=${version}`,
      '--build-arg',
      `REVISION=${revision}`,
      '-t',
      name,
      '.',
    ]);
  } else run('docker', ['tag', existing, name]);
  run('sh', ['-c', `docker save ${name} | gzip -n > "$1"`, 'sh', join(out, `webdist-image-${version}.tar.gz`)]);
  return undefined;
}

/** The documentation as a static site. */
export function site(out: string): undefined {
  run('npm', ['run', '--silent', 'docs']);
  const archive = join(out, `webdist-docs-${version}.tar.gz`);
  const stable = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  run('tar', [...stable, '-czf', archive, '-C', 'docs/.vitepress/dist', '.']);
}

/** SHA256SUMS, for `sha256sum -c`. */
export function checksums(out: string): void {
  const lines = readdirSync(out)
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(out, name)))
          .digest('hex')}  ${name}\n`,
    );
  writeFileSync(join(out, 'SHA256SUMS'), lines.join(''));
}
