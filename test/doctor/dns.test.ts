/** The rule by which Safari shortens a cookie's life, with the examples of docs/apple-facts.md §13.2. */

import t from 'tap';
import { type HostRecords, isSameSite, shortened } from '../../src/doctor/dns.ts';

const at = (...addresses: string[]): HostRecords => ({ cname: undefined, addresses });
const cname = (target: string, ...addresses: string[]): HostRecords => ({ cname: target, addresses });

const PAGE = 'www.example.com';
const cases: readonly (readonly [what: string, page: HostRecords, service: HostRecords, days: RegExp | undefined])[] = [
  ['the same 16 bits', at('203.0.113.10'), at('203.0.200.9'), undefined],
  ['another network', at('203.0.113.10'), at('198.51.100.7'), /^7 days/],
  ['another family', at('203.0.113.10'), at('2001:db8::1'), /^7 days/],
  ['a CNAME for the page', at('203.0.113.10'), cname('www.example.com', '203.0.113.10'), undefined],
  ['a CNAME on the domain', at('203.0.113.10'), cname('lb.example.com', '198.51.100.7'), undefined],
  ['a CNAME for a provider', at('203.0.113.10'), cname('abc.provider.net', '203.0.113.10'), /^7 days/],
  ['both at one provider', cname('x.provider.net'), cname('y.provider.net'), undefined],
  ['at two providers', cname('x.provider.net'), cname('y.other.net'), /^7 days/],
  ['the same 64 bits', at('2001:db8:1:2::1'), at('2001:0db8:0001:0002:ffff::9'), undefined],
  ['other 64 bits', at('2001:db8:1:2::1'), at('2001:db8:1:3::1'), /^7 days/],
  ['two networks, by chance', at('203.0.113.10', '198.51.100.1'), at('203.0.113.11', '198.51.100.2'), /^between/],
  ['both families, by chance', at('203.0.113.10', '2001:db8::1'), at('203.0.113.11'), /^between/],
  ['not in DNS yet', at(), at('203.0.113.11'), undefined],
];
for (const [what, page, service, days] of cases) {
  const cost = shortened(PAGE, page, service);
  if (days) t.match(cost?.days, days, what);
  else t.equal(cost, undefined, what);
}

const sites: readonly (readonly [one: string, other: string, same: boolean])[] = [
  ['example.com', 'get.example.com', true],
  ['www.example.com', 'get.example.com', true],
  ['example.com', 'example.net', false],
  ['example.com', 'notexample.com', false],
  ['shop.co.uk', 'other.co.uk', false],
  ['www.shop.co.uk', 'get.shop.co.uk', true],
  ['Example.com.', 'example.com', true],
];
for (const [one, other, same] of sites) t.equal(isSameSite(one, other), same, `${one}, ${other}`);
