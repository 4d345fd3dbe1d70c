/** An address as the rate limits count it: IPv4 as it is, IPv6 by its /64, in one spelling. */

import t from 'tap';
import { networkOf } from '../../src/http/address.ts';

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
