/** What the machine or the container gives to the service: each fault by the text in which Linux reports it. */

import t from 'tap';
import { memoryFinding, openFilesFinding, volumeFinding } from '../../src/doctor/resource-checks.ts';

const root = '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw';
const overlay = '611 500 0:55 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A';
const at = (from: string, kind = 'ext4 /dev/vda') => `629 611 254:0 ${from} /data rw,relatime - ${kind} rw`;
const id = 'f0'.repeat(32);

t.test('the volume of the data folder', async (t) => {
  const cases: readonly (readonly [mounts: readonly string[], result: string, found: RegExp])[] = [
    [[root], 'ok', /^\/data$/],
    [[overlay, at('/var/lib/docker/volumes/webdist_data/_data')], 'ok', /./],
    [[overlay, at('/srv/webdist')], 'ok', /./],
    [[overlay, at('/', 'nfs4 nas:/webdist')], 'ok', /./],
    [[overlay], 'warn', /lost with it/],
    [[overlay, '630 611 0:60 / /database rw - ext4 /dev/vda rw'], 'warn', /lost with it/],
    [[overlay, at(`/var/lib/docker/volumes/${id}/_data`)], 'warn', /anonymous volume/],
    [[overlay, at('/', 'tmpfs tmpfs')], 'warn', /in memory/],
    [[overlay, at('/var/lib/kubelet/pods/1f/volumes/kubernetes.io~empty-dir/data')], 'warn', /emptyDir/],
    [[], 'ok', /./],
  ];
  const ledger = { url: 'sqlite:///data/ledger.sqlite', secret: undefined } as const;
  for (const [mounts, result, found] of cases)
    t.match(volumeFinding({ ledger, dataDir: '/data' }, mounts.join('\n')), { result, found }, mounts.join('\n'));
  t.match(volumeFinding({ ledger, dataDir: '/data/webdist' }, [overlay, at('/srv')].join('\n')), { result: 'ok' });
  const shared = { ...ledger, url: 'postgres://db/webdist', secret: 'x'.repeat(32) };
  t.equal(volumeFinding({ ledger: shared, dataDir: '/data' }, overlay), undefined, 'nothing there must last');
});

t.test('open files and memory', async (t) => {
  const limits = (soft: string) =>
    `Limit                     Soft Limit           Hard Limit\nMax open files            ${soft}      4096   files`;
  for (const [soft, result] of [
    ['256', 'warn'],
    ['1023', 'warn'],
    ['1024', 'ok'],
    ['1048576', 'ok'],
  ] as const)
    t.match(openFilesFinding(limits(soft)), { result });
  t.equal(openFilesFinding(''), undefined, 'not on Linux');
  const mib = 2 ** 20;
  for (const [bytes, result] of [
    [64 * mib, 'warn'],
    [255 * mib, 'warn'],
    [256 * mib, 'ok'],
    [0, 'info'],
    [2 ** 64, 'info'],
    [2 ** 63, 'info'],
  ] as const)
    t.match(memoryFinding(bytes), { result }, String(bytes));
});
