/** A clock that is set back does not turn `redownload` into `download` again. */

import t from 'tap';
import { dtypeAt } from '../../src/ledger/rule.ts';
import { steadySeconds } from '../../src/ledger/steady-seconds.ts';

const INSTALLED = 1_764_151_200;
const LIFETIME = 1200;
const TURNS = INSTALLED + LIFETIME;

const clocks: [name: string, times: number[], dtypes: string][] = [
  ['goes on', [TURNS - 1, TURNS, TURNS + 1], 'dRR'],
  ['goes back two minutes', [TURNS - 1, TURNS, TURNS - 120, TURNS - 119], 'dRRR'],
  ['goes back a second, again and again', [TURNS, TURNS - 1, TURNS, TURNS - 1], 'RRRR'],
  ['is slewed back', [TURNS + 1, TURNS, TURNS - 1, TURNS - 2], 'RRRR'],
  ['was an hour ahead, nearly', [TURNS - 3599, TURNS, TURNS - 3599], 'dRR'],
  ['was a day ahead, and is corrected', [INSTALLED + 86_400, INSTALLED + 1, INSTALLED + 2], 'Rdd'],
  ['was 400 days ahead, and is corrected', [INSTALLED + 400 * 86_400, INSTALLED + 1], 'Rd'],
];
for (const [name, times, dtypes] of clocks) {
  const steady = steadySeconds();
  const found = times.map((time) => (dtypeAt(steady(time), { redownloadAtSeconds: TURNS }) === 'download' ? 'd' : 'R'));
  t.equal(found.join(''), dtypes, `the clock ${name}`);
}
