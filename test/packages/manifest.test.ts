/**
 * A manifest of any size and form, as an attacker at the package's website could write it, causes one short line in the
 * log.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { openLog } from '../../src/log.ts';
import { watchManifest } from '../../src/packages/manifest.ts';
import { temporaryFolder } from '../harness/folder.ts';

const app = { bundleId: 'com.example.trailmap', appleItemId: '6500000001' };
const manifest = { ...app, appleVersionId: '7' };
const MANY = 100_000;
const many = <T>(value: T) => Array.from({ length: MANY }, () => value);
const versions = (value: unknown) => Object.fromEntries(many(value).map((each, index) => [`system${index}`, each]));

const hostile: Readonly<Record<string, () => string>> = {
  'wrong platforms': () => JSON.stringify({ ...manifest, platforms: many(1) }),
  'platforms without end': () => JSON.stringify({ ...manifest, platforms: many('iOS') }),
  'wrong system versions': () => JSON.stringify({ ...manifest, minimumSystemVersions: versions(1) }),
  'a million system versions': () => JSON.stringify({ ...manifest, minimumSystemVersions: versions('17.4') }),
  'a long bundle id': () => JSON.stringify({ ...manifest, bundleId: 'x'.repeat(MANY) }),
  'a list': () => JSON.stringify(many({})),
  'nested a million times': () => '['.repeat(1_000_000),
  'no JSON': () => 'x'.repeat(MANY),
  'only null': () => 'null',
};

for (const [name, text] of Object.entries(hostile))
  t.test(name, async (t) => {
    const path = join(temporaryFolder(t), 'manifest.json');
    writeFileSync(path, text());
    const lines: string[] = [];
    const log = openLog('info', { write: (line) => void lines.push(line) });
    const watched = watchManifest({ app, url: pathToFileURL(path).href, log });
    t.teardown(() => watched.close());
    const before = process.cpuUsage();
    await watched.refresh();
    const { user, system } = process.cpuUsage(before);
    t.ok(user + system < 1_000_000, `${(user + system) / 1000} ms of CPU time`);
    t.equal(watched.summary, undefined);
    const written = lines.join('');
    t.match(written, '"event":"manifest_unusable"');
    t.ok(written.length < 15_000, `${written.length} characters in the log`);
    writeFileSync(path, JSON.stringify({ ...manifest, variants: [], of: many('another member') }));
    await watched.refresh();
    t.equal(watched.appleVersionId, '7', 'other members may be as long as the body');
  });
