/** The tables of docs/settings.md are generated from the table of settings. */

import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { z } from 'zod';
import { type Setting, settings } from '../../src/config/settings.ts';

const path = 'docs/settings.md';
const page = readFileSync(path, 'utf8');
const names = Object.keys(settings);

/** The values of a setting that takes one of a few words, unless its description names them already. */
function choices({ form, about }: Setting): string {
  const last = form instanceof z.ZodPipe ? form.out : form;
  if (!(last instanceof z.ZodEnum)) return '';
  const options = last.options.map((option) => `\`${option}\``);
  return options.every((option) => about.includes(option)) ? '' : `: ${options.join(', ')}`;
}

function row(name: string): string {
  const setting: Setting = settings[name as keyof typeof settings];
  const cells = [`\`${name}\``, setting.about + choices(setting), setting.default && `\`${setting.default}\``];
  return `| ${cells.map((cell) => (cell ?? '').replaceAll('|', '\\|')).join(' | ')} |`;
}

/** Each block of the page has the settings from its first one up to the first one of the next block. */
const starts = [...page.matchAll(/<!-- settings from (\w+) -->/g)].map((match) => names.indexOf(match[1] ?? ''));

t.equal(starts[0], 0, 'the first block starts with the first setting');
t.ok(
  starts.every((start, index) => index === 0 || start > (starts[index - 1] ?? 0)),
  'the blocks name settings that exist, in the order of src/config/settings.ts',
);

const generated = page.replace(
  /(<!-- settings from (\w+) -->\n)[\s\S]*?(<!-- \/settings -->)/g,
  (_, open, first, end) => {
    const start = names.indexOf(first);
    const block = names.slice(
      start,
      starts.find((one) => one > start),
    );
    return [`${open}| variable | meaning | default |`, '| --- | --- | --- |', ...block.map(row), end].join('\n');
  },
);

// Run with WEBDIST_WRITE_DOCS=1 to write the tables instead of checking them.
if (process.env['WEBDIST_WRITE_DOCS']) writeFileSync(path, generated);
else t.equal(page, generated, `${path} is up to date (WEBDIST_WRITE_DOCS=1 writes it)`);
