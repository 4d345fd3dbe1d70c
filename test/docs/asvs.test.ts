/** docs/asvs.md answers each requirement of ASVS 5.0 of level 1 and 2 once, and the tests that it names exist. */

import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

/** The number of requirements of level 1 or 2 in each section, which come first in it, and are numbered from 1. */
const SECTIONS: Readonly<Record<string, number>> = {
  'V1.1': 2,
  'V1.2': 9,
  'V1.3': 11,
  'V1.4': 3,
  'V1.5': 2,
  'V2.1': 3,
  'V2.2': 3,
  'V2.3': 4,
  'V2.4': 1,
  'V3.2': 2,
  'V3.3': 4,
  'V3.4': 6,
  'V3.5': 5,
  'V3.7': 2,
  'V4.1': 3,
  'V4.2': 1,
  'V4.3': 2,
  'V4.4': 4,
  'V5.1': 1,
  'V5.2': 3,
  'V5.3': 2,
  'V5.4': 3,
  'V6.1': 3,
  'V6.2': 12,
  'V6.3': 4,
  'V6.4': 4,
  'V6.5': 5,
  'V6.6': 3,
  'V6.8': 4,
  'V7.1': 3,
  'V7.2': 4,
  'V7.3': 2,
  'V7.4': 5,
  'V7.5': 2,
  'V7.6': 2,
  'V8.1': 2,
  'V8.2': 3,
  'V8.3': 1,
  'V8.4': 1,
  'V9.1': 3,
  'V9.2': 4,
  'V10.1': 2,
  'V10.2': 2,
  'V10.3': 4,
  'V10.4': 11,
  'V10.5': 5,
  'V10.6': 2,
  'V10.7': 3,
  'V11.1': 2,
  'V11.2': 3,
  'V11.3': 3,
  'V11.4': 4,
  'V11.5': 1,
  'V11.6': 1,
  'V12.1': 3,
  'V12.2': 2,
  'V12.3': 4,
  'V13.1': 1,
  'V13.2': 5,
  'V13.3': 2,
  'V13.4': 5,
  'V14.1': 2,
  'V14.2': 4,
  'V14.3': 3,
  'V15.1': 3,
  'V15.2': 3,
  'V15.3': 7,
  'V16.1': 1,
  'V16.2': 5,
  'V16.3': 4,
  'V16.4': 3,
  'V16.5': 3,
  'V17.1': 1,
  'V17.2': 4,
  'V17.3': 2,
};

const page = readFileSync('docs/asvs.md', 'utf8');

/** `V1.2.6–V1.2.8` is three requirements. */
function requirementsIn(cell: string): string[] {
  return cell.split(', ').flatMap((part) => {
    const [first = '', last = first] = part.split('–');
    const section = first.replace(/\.\d+$/, '');
    const [from, to] = [first, last].map((name) => Number(name.split('.').at(-1)));
    return Array.from({ length: (to ?? 0) - (from ?? 0) + 1 }, (_, index) => `${section}.${(from ?? 0) + index}`);
  });
}

t.test('each requirement once', async (t) => {
  const rows = [...page.matchAll(/^\| (V[^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)];
  const answered = rows.flatMap(([, cell = '']) => requirementsIn(cell));
  const required = Object.entries(SECTIONS).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, index) => `${section}.${index + 1}`),
  );
  t.strictSame(answered.toSorted(), required.toSorted());
  for (const [, cell = '', answer = '', reason = ''] of rows) {
    t.match(
      answer,
      /^(met|met in part|met, and yours|yours|not met|not met in part|not met by default|does not apply)$/,
      cell,
    );
    t.ok(reason.trim().length > 5, cell);
  }
});

t.test('each named file exists', async (t) => {
  const files = [...page.matchAll(/`((?:test|src|deploy)\/[\w./-]+)`/g)].map(([, file = '']) => file);
  t.ok(files.length > 100);
  for (const file of new Set(files)) t.ok(existsSync(file), file);
});
