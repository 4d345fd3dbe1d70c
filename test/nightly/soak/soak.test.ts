/**
 * The soak script runs, and its rule distinguishes growth from noise. Only an hour of it shows whether webdist stays
 * flat.
 */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { measures, type Sample } from './samples.ts';
import { judge } from './verdict.ts';

t.test('a few seconds of it', async (t) => {
  const folder = temporaryFolder(t);
  const out = join(folder, 'soak.json');
  const args = [
    '--disable-warning=ExperimentalWarning',
    'test/nightly/soak/soak.ts',
    '--minutes',
    '0.1',
    '--rate',
    '20',
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '--out', out]);
  t.match(stdout, 'verdict: too short to say');
  const { totals, samples, errorLines } = JSON.parse(readFileSync(out, 'utf8'));
  t.equal(totals.errors, 0, totals.examples.join());
  t.equal(errorLines, 0, 'no error in the log');
  t.ok(totals.answered > 0, `${totals.answered} answers`);
  t.ok(samples.length > 0, `${samples.length} samples`);
  for (const measure of Object.keys(measures))
    t.ok(
      samples.every((sample: Record<string, unknown>) => Number.isFinite(sample[measure])),
      measure,
    );
  t.ok(
    samples.every(({ rssMb, fds, ledgerMb }: Sample) => rssMb > 1 && fds > 1 && ledgerMb > 0),
    'figures of a process',
  );
  t.match(readFileSync(out.replace('.json', '.svg'), 'utf8'), /^<svg [\s\S]*<polyline points="\d[\s\S]*<\/svg>\n$/);
});

/** An hour with a sample every ten seconds; heap and memory oscillate by 10 MB and grow by this much in an hour. */
const hour = (growthMb: number): Sample[] =>
  Array.from({ length: 360 }, (_, index) => {
    const saw = (index % 7) * 1.5;
    const grown = (growthMb * index) / 360;
    const steady = { externalMb: 9, handles: 70, fds: 90, lagP50Ms: 0.2, lagP99Ms: 4 };
    const seen = { latencyP50Ms: 1, latencyP99Ms: 15, ledgerMb: index, answered: 5000, refused: 0, errors: 0 };
    return { seconds: index * 10, rssMb: 200 + saw + grown, heapMb: 40 + saw + grown, ...steady, ...seen };
  });

t.equal(judge(hour(0)).text, 'flat');
t.equal(judge(hour(-30)).text, 'flat', 'what shrinks does no harm');
t.equal(judge(hour(30)).text, 'not flat: resident memory, MB; heap in use, MB');
t.equal(judge(hour(30).slice(0, 30)).text, 'too short to say');
const warming = hour(0).map((sample, index) => ({ ...sample, rssMb: index < 110 ? index : 110 + (index % 5) }));
t.equal(judge(warming).text, 'flat', 'growth in the first third is the warm-up');
const leaking = hour(0).map((sample, index) => ({ ...sample, handles: 70 + Math.floor(index / 50) }));
t.equal(judge(leaking).text, 'not flat: active resources');
