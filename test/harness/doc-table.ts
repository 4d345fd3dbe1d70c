/** A table in a page of docs that a test writes, and compares with what it finds. */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';

/**
 * The rows between `<!-- name -->` and `<!-- /name -->`. With WEBDIST_WRITE_DOCS=1 they are written; otherwise they must
 * be the same except for the figures in seconds, which differ from run to run.
 */
export function checkTable(t: Test, page: string, name: string, head: readonly string[], rows: readonly string[][]) {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const table = [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  const between = new RegExp(`(<!-- ${name} -->\\n)([\\s\\S]*?)(\\n<!-- /${name} -->)`);
  const text = readFileSync(page, 'utf8');
  if (process.env['WEBDIST_WRITE_DOCS'])
    return writeFileSync(
      page,
      text.replace(between, (_, start, __, end) => `${start}${table}${end}`),
    );
  const withoutFigures = (rows = '') => rows.replaceAll(/\d+\.\d s/g, '… s');
  t.equal(
    withoutFigures(between.exec(text)?.[2]),
    withoutFigures(table),
    `${page} has this table (WEBDIST_WRITE_DOCS=1)`,
  );
}
