import {
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
import { InstallButton } from '../../../src/browser/install-button.ts';
import { english } from '../../../src/browser/install-button-english.ts';
import { texts } from '../../../src/browser/install-button-texts.ts';
import { builtPackage, pack, runProgram } from '../../harness/package.ts';

const BUTTON_BYTES = 5000;
const PACKAGE_BYTES = 60_000;
const root = new URL('../../../', import.meta.url).pathname;
/** The Node.js of the machine, which may be older than webdist's own. */
const machinesNode = (process.env['PATH'] ?? '')
  .split(':')
  .filter((path) => !path.includes('node_modules'))
  .map((path) => join(path, 'node'))
  .find((path) => existsSync(path));

const built = await builtPackage();
const dist = join(built, 'dist');
const folder = mkdtempSync(join(tmpdir(), 'webdist-packed-'));
t.teardown(() => rmSync(folder, { recursive: true }));

t.test('the package webdist-button', async (t) => {
  const { filename, unpackedSize, files } = pack(join(dist, 'button-package'), folder);
  t.ok(unpackedSize <= PACKAGE_BYTES, `${unpackedSize} bytes unpacked`);
  const home = join(folder, 'installed');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{"private":true,"type":"module"}');
  runProgram('npm', ['install', '--offline', '--no-audit', '--no-fund', join(folder, filename)], home);
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
  t.equal(runProgram(process.execPath, ['program.mjs'], home).trim(), expected, process.version);
  t.test('on the machine’s own Node.js', { skip: !machinesNode && 'no other Node.js is installed' }, async (t) => {
    if (!machinesNode) return;
    const version = runProgram(machinesNode, ['--version']).trim();
    t.equal(runProgram(machinesNode, ['program.mjs'], home).trim(), expected, version);
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
  const { filename, files } = pack(built, folder);
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
  runProgram('tar', ['-xzf', join(folder, filename), '-C', home]);
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  t.match(runProgram(process.execPath, ['package/dist/main.js', '--help'], home), 'Usage: webdist');
  const program = `
    import { buttonModules } from './package/dist/browser/package/modules.js';
    console.log(JSON.stringify(buttonModules()));`;
  writeFileSync(join(home, 'program.mjs'), program);
  const modules: Record<string, string> = JSON.parse(runProgram(process.execPath, ['program.mjs'], home));
  t.equal(modules['install-button.js']?.match(/import\.meta\.url/g)?.length, 1);
  t.equal(modules['install-button.js']?.match(/WEBDIST_BUTTON_ERRORS/g)?.length, 1);
  const bytes = gzipSync(modules['install-button.js'] ?? '', { level: 9 }).length;
  t.ok(bytes <= BUTTON_BYTES, `${bytes} bytes gzipped`);
});
