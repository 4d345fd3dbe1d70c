/**
 * Prints what the image contains besides node_modules, as components of CycloneDX: Node, the libraries that are compiled into
 * it, and Debian's packages of the shared libraries. Runs during the image build, before anything is removed.
 *
 *   node docker/system-components.mjs FOLDER    the folder with the files of the image
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync, realpathSync } from 'node:fs';

const [folder = ''] = process.argv.slice(2);

/** The licence of each part of Node, as its LICENSE file names it. Numbers of interfaces are not parts. */
const LICENCES = {
  acorn: 'MIT',
  ada: 'MIT',
  amaro: 'MIT',
  ares: 'MIT',
  brotli: 'MIT',
  cjs_module_lexer: 'MIT',
  cldr: 'Unicode-3.0',
  icu: 'Unicode-3.0',
  libffi: 'MIT',
  lief: 'Apache-2.0',
  llhttp: 'MIT',
  merve: 'MIT',
  nbytes: 'MIT',
  ncrypto: 'MIT',
  nghttp2: 'MIT',
  nghttp3: 'MIT',
  ngtcp2: 'MIT',
  openssl: 'Apache-2.0',
  simdjson: 'Apache-2.0',
  simdutf: 'MIT',
  sqlite: 'blessing',
  tz: 'CC-PDDC',
  undici: 'MIT',
  unicode: 'Unicode-3.0',
  uv: 'MIT',
  uvwasi: 'MIT',
  v8: 'BSD-3-Clause',
  zlib: 'Zlib',
  zstd: 'BSD-3-Clause',
};
const INTERFACES = ['modules', 'napi', 'node'];

/** The licences of Debian's packages, from /usr/share/doc/PACKAGE/copyright, for the source packages. */
const DEBIAN_LICENCES = {
  gcc: 'GPL-3.0-or-later WITH GCC-exception-3.1',
  glibc: 'LGPL-2.1-or-later',
};

/** The names under which the databases of vulnerabilities know the two that are reported most. */
const CPE = { node: 'nodejs:node.js', openssl: 'openssl:openssl' };

const output = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' }).trim();
const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

function component({ type = 'library', name, version, purl, licence, files }) {
  const id = licence?.includes(' ') ? { expression: licence } : { license: { id: licence } };
  return {
    'bom-ref': purl,
    type,
    name,
    version,
    purl,
    ...(CPE[name] && { cpe: `cpe:2.3:a:${CPE[name]}:${version}:*:*:*:*:*:*:*` }),
    ...(licence && { licenses: [id] }),
    ...(files?.length === 1 && { hashes: [{ alg: 'SHA-256', content: sha256(folder + files[0]) }] }),
    ...(files && { properties: files.map((value) => ({ name: 'webdist:file', value })) }),
  };
}

const node = component({
  type: 'application',
  name: 'node',
  version: process.versions.node,
  purl: `pkg:generic/node@${process.versions.node}`,
  licence: 'MIT',
  files: ['/usr/local/bin/node'],
});

const inNode = Object.entries(process.versions)
  .filter(([name, version]) => version !== '' && !INTERFACES.includes(name))
  .map(([name, version]) =>
    component({ name, version, purl: `pkg:generic/${name}@${encodeURIComponent(version)}`, licence: LICENCES[name] }),
  );

/** The package that owns a file. Debian's list has the path before or after /lib became a link to /usr/lib. */
function packageOf(path) {
  const real = realpathSync(path);
  const { stdout } = spawnSync('dpkg-query', ['--search', path, real, real.replace(/^\/usr/, '')], {
    encoding: 'utf8',
  });
  const [owner] = stdout.split(': ');
  if (!owner) throw new Error(`No package of Debian owns ${path}.`);
  return owner;
}

const filesOf = new Map();
for (const path of globSync(`${folder}/{lib,lib64,usr/lib}/**/*.so*`)
  .map((found) => found.slice(folder.length))
  .sort())
  filesOf.set(packageOf(path), [...(filesOf.get(packageOf(path)) ?? []), path]);

const fromDebian = [...filesOf].map(([owner, files]) => {
  const [name, version, architecture, source] = output(
    'dpkg-query',
    '--show',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the form of dpkg-query
    '--showformat=${Package} ${Version} ${Architecture} ${source:Package}',
    owner,
  ).split(' ');
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`;
  return component({ name, version, purl, licence: DEBIAN_LICENCES[source.replace(/-\d+$/, '')], files });
});

console.log(JSON.stringify([node, ...inNode, ...fromDebian], undefined, 1));
