/** An address as the rate limits count it: IPv4 as it is, IPv6 by its /64, in one spelling. */

import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { addressesBehind, networkOf } from '../src/address.ts';

const table: Readonly<Record<string, string>> = {
  '192.0.2.7': '192.0.2.7',
  '::ffff:192.0.2.7': '192.0.2.7',
  '::FFFF:192.0.2.7': '192.0.2.7',
  '0:0:0:0:0:ffff:c000:0207': '192.0.2.7',
  '2001:db8::1': '2001:db8:0:0',
  '2001:DB8::1': '2001:db8:0:0',
  '2001:0db8:0000:0000:0001:0000:0000:0005': '2001:db8:0:0',
  '2001:db8:1:2:3:4:5:6': '2001:db8:1:2',
  '2001:db8:1:2::': '2001:db8:1:2',
  '2001:db8:1:3::': '2001:db8:1:3',
  '2001:db8::1:2:3:4:5': '2001:db8:0:1',
  '::1': '0:0:0:0',
  '::': '0:0:0:0',
  'fe80::1%eth0': 'fe80:0:0:0',
  '64:ff9b::192.0.2.7': '64:ff9b:0:0',
  '::192.0.2.7': '0:0:0:0',
  unknown: 'unknown',
  '': '',
};

for (const [address, network] of Object.entries(table)) t.equal(networkOf(address), network, JSON.stringify(address));

t.test('behind trusted proxies, the visitor has one address whatever the proxy adds to it', async (t) => {
  const addressOf = addressesBehind(['10.0.0.0/8', '2001:db8:ffff::/48']);
  const from = (remoteAddress: string | undefined, forwarded?: string) =>
    addressOf({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } } as unknown as IncomingMessage);
  for (const [peer, forwarded, expected] of [
    ['10.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['10.0.0.1', '203.0.113.7:40001', '203.0.113.7'],
    ['10.0.0.1', '203.0.113.7:40002', '203.0.113.7'],
    ['10.0.0.1', '[2001:db8::1]:443', '2001:db8:0:0'],
    ['10.0.0.1', '[2001:db8::1]', '2001:db8:0:0'],
    ['10.0.0.1', '"[2001:db8::1]:443"', '2001:db8:0:0'],
    ['10.0.0.1', '2001:DB8::1', '2001:db8:0:0'],
    ['10.0.0.1', '::ffff:203.0.113.7', '203.0.113.7'],
    ['10.0.0.1', '[::ffff:203.0.113.7]:1', '203.0.113.7'],
    ['::ffff:10.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['2001:db8:ffff::9', '203.0.113.7', '203.0.113.7'],
    ['10.0.0.1', '198.51.100.1, 203.0.113.7:1, 10.0.0.2:55', '203.0.113.7'],
    ['10.0.0.1', '198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['10.0.0.1', '203.0.113.7, unknown', '10.0.0.1'],
    ['10.0.0.1', '203.0.113.7:x', '10.0.0.1'],
    ['10.0.0.1', '', '10.0.0.1'],
    ['10.0.0.1', undefined, '10.0.0.1'],
    ['203.0.113.9', '198.51.100.1', '203.0.113.9'],
    [undefined, '198.51.100.1', ''],
  ] as const)
    t.equal(from(peer, forwarded), expected, `${forwarded} from ${peer}`);
});
