/**
 * The part of `npm run build` that builds the button. It minifies the modules for webdist into `dist/browser`, where
 * they replace tsc's output, and for the npm package `webdist-button` into `dist/button-package`.
 */

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { minify } from 'terser';
import { buttonModules } from './modules.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

/** The folder with tsc's output. */
const dist = new URL('dist/', root);
const served = new URL('browser/', dist);
const packed = new URL('button-package/', dist);
const declarations = new Map(
  readdirSync(served)
    .filter((name) => name.endsWith('.d.ts'))
    .map((name) => [name, readFileSync(new URL(name, served), 'utf8').replace(/(from '\.\/[\w-]+)\.ts'/g, "$1.js'")]),
);
const modules = buttonModules();

for (const name of readdirSync(served)) if (/\.(js|ts|map)$/.test(name)) rmSync(new URL(name, served));
for (const [name, text] of Object.entries(modules)) writeFileSync(new URL(name, served), await minified(text));

rmSync(packed, { recursive: true, force: true });
mkdirSync(packed);
// In a bundle, `import.meta.url` is not the service's address, and some bundlers replace it with a path of their own.
for (const [name, text] of Object.entries(modules))
  writeFileSync(new URL(name, packed), await minified(text.replace('import.meta.url', 'undefined')));
writeFileSync(new URL('client.js', packed), stripTypeScriptTypes(read('src/browser/client.ts')).replace(/ +$/gm, ''));
for (const name of reachable(['install-button.d.ts', 'client.d.ts']))
  writeFileSync(new URL(name, packed), declarations.get(name) ?? '');
const manifest = JSON.parse(readFileSync(new URL('custom-elements.json', import.meta.url), 'utf8'));
writeFileSync(new URL('custom-elements.json', packed), JSON.stringify(manifest));
for (const name of ['react.d.ts', 'vue.d.ts', 'svelte.d.ts', 'README.md'])
  cpSync(new URL(name, import.meta.url), new URL(name, packed));
cpSync(new URL('LICENSE', root), new URL('LICENSE', packed));
cpSync(new URL('LICENSE', new URL('../', import.meta.resolve('uqr'))), new URL('LICENSE-uqr', packed));
writeFileSync(new URL('package.json', packed), `${JSON.stringify(description(), null, 2)}\n`);

async function minified(text: string): Promise<string> {
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 2 } });
  return `${code}\n`;
}

/** The declaration files that these need. */
function reachable(entries: readonly string[]): Set<string> {
  const names = new Set(entries);
  for (const name of names)
    for (const [, imported] of (declarations.get(name) ?? '').matchAll(/from '\.\/([\w-]+)\.js'/g))
      names.add(`${imported}.d.ts`);
  return names;
}

function description() {
  const { version, license, publishConfig } = JSON.parse(read('package.json'));
  const module = (name: string) => ({ types: `./${name}.d.ts`, default: `./${name}.js` });
  const types = (name: string) => ({ types: `./${name}.d.ts` });
  return {
    name: 'webdist-button',
    version,
    description: '<install-button>: installs an iOS app from your own website in the EU, with tokens from webdist',
    license,
    type: 'module',
    engines: { node: '>=20' },
    sideEffects: ['./install-button.js'],
    customElements: 'custom-elements.json',
    exports: {
      '.': module('install-button'),
      './client': module('client'),
      './react': types('react'),
      './vue': types('vue'),
      './svelte': types('svelte'),
      './custom-elements.json': './custom-elements.json',
      './package.json': './package.json',
    },
    publishConfig,
  };
}
