/** The README says what is so: its settings table is the one of the code, and its commands exist. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { type Setting, settings } from '../src/config/settings.ts';

const readme = readFileSync('README.md', 'utf8');

const row = ([name, { about, default: standard }]: [string, Setting]) =>
  `| \`${name}\` | ${about.replaceAll('|', '\\|')} | ${standard === undefined ? '' : `\`${standard}\``} |`;
const table = [
  '| variable | meaning | default |',
  '| --- | --- | --- |',
  ...Object.entries<Setting>(settings).map(row),
].join('\n');
const between = /(<!-- settings -->\n)[\s\S]*?(\n?<!-- \/settings -->)/;

// Run with WEBDIST_WRITE_README=1 to write the table instead of checking it.
if (process.env['WEBDIST_WRITE_README'])
  writeFileSync('README.md', readme.replace(between, `$1${table}\n<!-- /settings -->`));
else
  t.ok(
    readme.includes(`<!-- settings -->\n${table}\n<!-- /settings -->`),
    'the settings table is the one of config-settings.ts',
  );

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const shell = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((block) => (block[1] ?? '').trim().split('\n'));
t.ok(shell.length > 5);
for (const line of shell) {
  const script = /^npm (?:run (?:-s )?)?([a-z]+)/.exec(line)?.[1];
  if (!script)
    t.match(
      line,
      /^(export [A-Z_]+=\S+|docker (build|compose) .*|curl -s -X POST localhost:8080\/install-token .*)$/,
      'a line a test knows',
    );
  else t.ok(script === 'ci' || scripts[script], `${line}: the script exists`);
}
for (const [, path = ''] of readme.matchAll(/\]\((?!https?:)([^)#]+)/g)) t.ok(existsSync(path), `${path} exists`);
