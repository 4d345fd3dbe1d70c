/**
 * What is in the image: every file belongs to a component of the bill of materials, the history of the image adds one layer of
 * files and no secret, and a second build, without the cache, has the same bytes.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { image, noImage } from '../harness/containers.ts';
import { temporaryFolder } from '../harness/folder.ts';

const options = { encoding: 'utf8', maxBuffer: 1e8 } as const;
const docker = (...args: string[]) => execFileSync('docker', args, options).trim();
const shell = (script: string) => execFileSync('bash', ['-o', 'pipefail', '-c', script], options).trim();

/** Passes the files of an image, as a tar stream, to a program. */
function exported(t: Test, name: string, program: string): string {
  const id = docker('create', name);
  t.teardown(() => docker('rm', '-v', id));
  return shell(`docker export ${id} | ${program}`);
}

type Component = {
  purl: string;
  name: string;
  group?: string;
  version: string;
  licenses?: unknown[];
  properties?: { name: string; value: string }[];
};
const billOf = (name: string) => {
  const script = 'fs.readFileSync("/app/sbom.cdx.json", "utf8")';
  return JSON.parse(docker('run', '--rm', '--entrypoint', 'node', name, '-p', script)) as { components: Component[] };
};

/** Files of the image that belong to no package, and those that Docker adds to each container. */
const OWN =
  /^(etc\/(passwd|group|nsswitch\.conf)|app\/(package\.json|LICENSE|CHANGELOG\.md|sbom\.cdx\.json|dist\/.*))$/;
const OF_DOCKER = /^(\.dockerenv|(dev|proc|sys)\/.*|etc\/(hosts|hostname|resolv\.conf|mtab))$/;

t.test('the bill of materials has every file', { skip: noImage }, async (t) => {
  const { components } = billOf(image);
  const versions = JSON.parse(
    docker('run', '--rm', '--entrypoint', 'node', image, '-p', 'JSON.stringify(process.versions)'),
  );
  const find = (type: string, name: string) => components.find(({ purl }) => purl.startsWith(`pkg:${type}/${name}@`));
  t.equal(find('generic', 'node')?.version, versions.node);
  t.equal(find('generic', 'openssl')?.version, versions.openssl);
  t.equal(find('generic', 'sqlite')?.version, versions.sqlite);
  t.match(find('deb/debian', 'libc6')?.version, /^\d+\.\d+-/);
  t.strictSame(
    components.filter(({ licenses }) => !licenses?.length).map(({ name }) => name),
    [],
    'all licences known',
  );

  const listed = components.flatMap(({ properties = [] }) => properties.map(({ value }) => value.slice(1)));
  const packages = new Set(components.flatMap(({ name, group }) => [name, `${group}/${name}`]));
  const files = exported(t, image, 'tar -t').split('\n');
  const isKnown = (path: string) => {
    const [, name = ''] = /^app\/node_modules\/(?:.*\/node_modules\/)?((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
    // string-width-cjs and two others are other versions of string-width, installed under a second name.
    const isListed = packages.has(name) || packages.has(name.replace(/-cjs$/, ''));
    return listed.includes(path) || OWN.test(path) || OF_DOCKER.test(path) || isListed;
  };
  t.strictSame(
    files.filter((path) => !path.endsWith('/') && !isKnown(path)),
    [],
    'every file belongs to a component',
  );
  t.strictSame(
    listed.filter((path) => !files.includes(path)),
    [],
    'nothing is listed that is not there',
  );
});

/** The instructions of the last stages of the Dockerfile. */
const INSTRUCTIONS = 'ARG ARG ARG LABEL ENV USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD COPY WORKDIR';
const VARIABLES = ['PATH', 'NODE_ENV', 'HOST', 'PORT', 'WEBDIST_DATA_DIR'];

t.test('its history: one layer of files, no secret, no trace of where it was built', { skip: noImage }, async (t) => {
  const format = ['--no-trunc', '--format', '{{.Size}}\t{{.CreatedBy}}'];
  const history = docker('history', ...format, image)
    .split('\n')
    .reverse();
  const steps = history.map((line) => line.split('\t'));
  t.equal(steps.map(([, step = '']) => step.split(' ')[0]).join(' '), INSTRUCTIONS);
  t.strictSame(
    steps.filter(([size]) => size !== '0B').map(([, step]) => step),
    ['COPY /tree / # buildkit'],
  );
  const [inspected] = JSON.parse(docker('image', 'inspect', image));
  t.strictSame(
    inspected.Config.Env.map((variable: string) => variable.split('=')[0]),
    VARIABLES,
  );
  const secrets = /_authToken|_password|:\/\/[^/\s]*:[^/\s]*@|PRIVATE KEY|npmrc|https?:\/\/(?!127)/i;
  t.notMatch(JSON.stringify([history, inspected.Config]), secrets);
  const files = exported(t, image, 'tar -t').split('\n');
  t.strictSame(
    files.filter((path) => /(^|\/)(\.npmrc|npmrc|\.env|\.git|\.docker|id_rsa|.*\.(pem|p8|key|crt))$/.test(path)),
    [],
  );
});

t.test('a second build without the cache has the same bytes', { skip: noImage, timeout: 900_000 }, async (t) => {
  const build = (tag: string, ...more: string[]) =>
    execFileSync('docker', ['build', '-q', '-t', tag, ...more, '.'], {
      ...options,
      env: { ...process.env, DOCKER_BUILDKIT: '1' },
    });
  const [first, second] = ['webdist-test:first', 'webdist-test:second'];
  build(first);
  build(second, '--no-cache');
  t.teardown(() => docker('rmi', first, second));
  const layersOf = (name: string) => JSON.parse(docker('image', 'inspect', '-f', '{{json .RootFS.Layers}}', name));
  t.comment(`the layers: ${layersOf(first).join(' ')}`);
  if (t.strictSame(layersOf(second), layersOf(first))) return;
  const folder = temporaryFolder(t);
  for (const name of [first, second]) {
    mkdirSync(join(folder, name));
    exported(t, name, `tar -x -C ${join(folder, name)}`);
  }
  t.fail(`these differ:\n${shell(`cd ${folder}; diff -rq --no-dereference ${first} ${second} || true`)}`);
});
