/** `ccode` is an assigned ISO 3166-1 code; issuing, verifying and the simulated device use one table. */

import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { isCountryCode } from '../../src/install-token/country-codes.ts';

const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
const pairs = letters.flatMap((first) => letters.map((second) => first + second));
const assigned = pairs.filter(isCountryCode);

t.equal(assigned.length, 249);

const refused: Record<string, unknown[]> = {
  'exceptionally reserved': ['UK', 'EU', 'AC', 'CP', 'CQ', 'DG', 'EA', 'EZ', 'FX', 'IC', 'TA', 'UN'],
  'transitionally reserved or withdrawn': ['SU', 'AN', 'DD', 'YU', 'BU', 'CS', 'NT', 'TP', 'ZR'],
  'for users': ['XK', 'XX', 'ZZ', 'AA', 'QM', 'XA', 'XB'],
  'of CDNs': ['T1', 'A1', 'A2', 'O1', 'AP', '-', ''],
  'of other forms': ['ie', 'Ie', 'IRL', 'IE ', ' IE', 'I', '372', 'IE,DE', 'ІЕ', 'IE\n'],
  'of other types': [undefined, null, 372, ['IE'], { IE: 1 }],
};
for (const [kind, values] of Object.entries(refused))
  for (const value of values) t.equal(isCountryCode(value), false, `${kind}: ${JSON.stringify(value)}`);

/** Part of the time zone database, which most systems have and keep up to date. */
const zoneTable = '/usr/share/zoneinfo/iso3166.tab';
t.test('the table is current', { skip: !existsSync(zoneTable) && 'no time zone database here' }, async (t) => {
  const lines = readFileSync(zoneTable, 'utf8').split('\n');
  t.strictSame(assigned, lines.flatMap((line) => /^([A-Z]{2})\t/.exec(line)?.[1] ?? []).sort());
});
