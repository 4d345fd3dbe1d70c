import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { InstallButton } from '../../src/browser/install-button.ts';
import { english } from '../../src/browser/install-button-english.ts';
import { texts } from '../../src/browser/install-button-texts.ts';

const BUTTON_BYTES = 5000;
const PACKAGE_BYTES = 60_000;
const root = new URL('../../', import.meta.url).pathname;
/** The Node.js of the machine, which may be older than webdist's own. */
const machinesNode = (process.env['PATH'] ?? '')
  .split(':')
  .filter((path) => !path.includes('node_modules'))
  .map((path) => join(path, 'node'))
  .find((path) => existsSync(path));

/** The build, in a folder of its own: dist/ and the other files of the server's package. */
const folder = mkdtempSync(join(tmpdir(), 'webdist-build-'));
const dist = join(folder, 'dist');
/** Runs a program without what the test runner preloads into Node.js; the runner would add it to `env` again. */
const run = (command: string, args: string[], cwd = root) =>
  execFileSync('/usr/bin/env', ['-u', 'NODE_OPTIONS', command, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', dist, '--noCheck']);
run(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/browser/package/build.ts', dist]);
for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'])
  cpSync(join(root, name), join(folder, name));
t.teardown(() => rmSync(folder, { recursive: true }));

type Packed = { readonly filename: string; readonly unpackedSize: number; readonly files: { readonly path: string }[] };
/** npm 11 returns a list, later versions may return an object by name. */
const pack = (of: string): Packed => {
  const answer = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], of));
  return Object.values(answer)[0] as Packed;
};

t.test('the package webdist-button', async (t) => {
  const { filename, unpackedSize, files } = pack(join(dist, 'button-package'));
  t.ok(unpackedSize <= PACKAGE_BYTES, `${unpackedSize} bytes unpacked`);
  const home = join(folder, 'installed');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{"private":true,"type":"module"}');
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(folder, filename)], home);
  t.strictSame(
    readdirSync(join(home, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['webdist-button'],
    'no dependencies',
  );
  const installed = join(home, 'node_modules/webdist-button');
  const text = (name: string) => readFileSync(join(installed, name), 'utf8');
  const bytes = gzipSync(text('install-button.js'), { level: 9 }).length;
  t.ok(bytes <= BUTTON_BYTES, `${bytes} bytes gzipped`);
  t.notMatch(text('install-button.js'), 'import.meta', 'a bundler finds no address in it');
  t.notMatch(text('install-button.js'), /\bimport\s*["'{*]/, 'and no static import');
  const description = JSON.parse(text('package.json'));
  t.equal(description.version, JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  t.equal(description.dependencies, undefined);

  const declared = files.map(({ path }) => path).filter((path) => path.endsWith('.d.ts'));
  for (const path of declared)
    for (const [, imported] of text(path).matchAll(/from '\.\/([^']+)\.js'/g))
      t.ok(declared.includes(`${imported}.d.ts`), `${path} finds ${imported}`);

  const program = `
    const button = await import('webdist-button');
    const { installClient } = await import('webdist-button/client');
    const { texts } = await import('./node_modules/webdist-button/install-button-texts.js');
    await import('./node_modules/webdist-button/install-button-qr.js');
    console.log(typeof button.InstallButton, typeof installClient, Object.keys(texts).length, globalThis.customElements);`;
  writeFileSync(join(home, 'program.mjs'), program);
  const expected = `function function ${Object.keys(texts).length} undefined`;
  t.equal(run(process.execPath, ['program.mjs'], home).trim(), expected, process.version);
  t.test('on the machine’s own Node.js', { skip: !machinesNode && 'no other Node.js is installed' }, async (t) => {
    if (!machinesNode) return;
    const version = run(machinesNode, ['--version']).trim();
    t.equal(run(machinesNode, ['program.mjs'], home).trim(), expected, version);
  });
});

t.test('its manifest of custom elements', async (t) => {
  const manifest = JSON.parse(readFileSync(join(dist, 'button-package/custom-elements.json'), 'utf8'));
  const [declaration] = manifest.modules[0].declarations;
  const names = (list: { readonly name: string }[]) => list.map(({ name }) => name);
  t.strictSame(
    names(declaration.attributes).filter((name) => !['reflect', 'report-share'].includes(name)),
    InstallButton.observedAttributes,
  );
  t.strictSame(
    names(declaration.attributes).filter((name) => name.startsWith('text-')),
    Object.keys(english).map((name) => `text-${name}`),
  );
  for (const { name, kind } of declaration.members)
    if (kind === 'method' || !['app', 'account', 'server', 'support'].includes(name))
      t.ok(name in InstallButton.prototype, name);
});

t.test('the package webdist', async (t) => {
  const { filename, files } = pack(folder);
  const paths = files.map(({ path }) => path);
  t.strictSame(
    paths.filter((path) => path.startsWith('dist/button-package')),
    [],
  );
  t.strictSame(
    paths.filter((path) => path.startsWith('dist/browser/') && !path.includes('/package/')).sort(),
    ['', '-qr', '-reports', '-texts', '-uqr'].map((name) => `dist/browser/install-button${name}.js`).sort(),
    'only what it serves',
  );
  const home = join(folder, 'server');
  mkdirSync(home);
  run('tar', ['-xzf', join(folder, filename), '-C', home]);
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  t.match(run(process.execPath, ['package/dist/main.js', '--help'], home), 'Usage: webdist');
  const program = `
    import { buttonModules } from './package/dist/browser/package/modules.js';
    console.log(JSON.stringify(buttonModules()));`;
  writeFileSync(join(home, 'program.mjs'), program);
  const modules: Record<string, string> = JSON.parse(run(process.execPath, ['program.mjs'], home));
  t.equal(modules['install-button.js']?.match(/import\.meta\.url/g)?.length, 1);
  t.equal(modules['install-button.js']?.match(/WEBDIST_BUTTON_ERRORS/g)?.length, 1);
  const bytes = gzipSync(modules['install-button.js'] ?? '', { level: 9 }).length;
  t.ok(bytes <= BUTTON_BYTES, `${bytes} bytes gzipped`);
});
