/** What an anonymous program can cost in a day, in docs/threat-model.md, follows from the default limit of an address. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { settings } from '../../src/config/settings.ts';

const MINUTES_A_DAY = 24 * 60;
const addresses = {
  'one IPv4 address, or one /64': 1,
  'ten thousand addresses': 10_000,
  'one /48 (65,536 networks of 64 bits)': 2 ** 16,
};
const page = readFileSync('docs/threat-model.md', 'utf8');
const tokensADay = Number(settings.WEBDIST_RATE_LIMIT_ADDRESS.default) * MINUTES_A_DAY;

for (const [who, count] of Object.entries(addresses)) {
  const tokens = count * tokensADay;
  const dollars = [3, 15].map((aMillion) => {
    const cost = (tokens / 1e6) * aMillion;
    const digits = cost < 1000 ? 2 : 0;
    return `${cost.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })} US$`;
  });
  const row = `| ${[who, tokens.toLocaleString('en'), ...dollars].join(' | ')} |`;
  t.ok(page.includes(row), row);
}
