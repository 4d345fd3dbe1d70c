/**
 * The button's modules as browsers get them, from webdist and from the npm package. The button itself is one file,
 * joined from the modules that it imports statically. So a device makes one request, and one integrity hash covers it.
 * Modules that it imports dynamically stay separate. Only Node's own modules are used: no bundler, no minifier.
 */

import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';

/** Matches comment lines and indentation, which browsers do not need. */
const COMMENT_LINES = /^\s*(\/\/|\/?\*).*\n?/gm;
const INDENTATION = /^ +/gm;

const STATIC_IMPORT = /^import (?:type )?[^;(]*? from '\.\/([\w-]+)\.[tj]s';\n/gm;

const isSource = import.meta.url.endsWith('.ts');

/** Returns file names and texts, in JavaScript: from the sources in a checkout, from the built files in `dist`. */
export function buttonModules(): Readonly<Record<string, string>> {
  return {
    'install-button.js': joined('install-button'),
    'install-button-texts.js': script('install-button-texts'),
    'install-button-reports.js': script('install-button-reports'),
    'install-button-qr.js': script('install-button-qr').replace("'uqr'", "'./install-button-uqr.js'"),
    'install-button-uqr.js': isSource
      ? readFileSync(new URL(import.meta.resolve('uqr')), 'utf8')
      : script('install-button-uqr'),
  };
}

/**
 * Joins one module with all modules that it imports statically. Their top-level names must differ; otherwise the file
 * does not parse.
 */
function joined(entry: string): string {
  const seen = new Set<string>();
  const parts: string[] = [];
  const add = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = script(name);
    for (const [, imported = ''] of text.matchAll(STATIC_IMPORT)) add(imported);
    const own = text.replace(STATIC_IMPORT, '');
    parts.push(name === entry ? own : own.replace(/^export (?=const|let|class|function)/gm, ''));
  };
  add(entry);
  return parts.join('');
}

function script(name: string): string {
  const text = readFileSync(new URL(`../${name}.${isSource ? 'ts' : 'js'}`, import.meta.url), 'utf8');
  const plain = isSource ? stripTypeScriptTypes(text) : text.replace(/^\/\/# sourceMappingURL=.*$/m, '');
  return plain
    .replace(/(import\('\.\/[\w-]+)\.ts'\)/g, "$1.js')")
    .replace(COMMENT_LINES, '')
    .replace(INDENTATION, '')
    .replace(/ +$/gm, '')
    .replace(/\n{2,}/g, '\n');
}
