/** The coverage-guided fuzzer finds what random inputs do not, and runs for a moment on every parser. */

import t from 'tap';
import { targets } from '../../fuzz/targets.ts';
import { fuzz } from './guided.ts';

const INPUTS = 100;

t.test('finds its way through one condition after another', async (t) => {
  const run = (input: Buffer) => {
    const text = input.toString();
    if (!text.includes('null')) return;
    if (!text.includes('{}')) return;
    if (!text.includes('1e999')) return;
    if (text.includes('../')) throw new TypeError('found');
  };
  const { finding, kept } = await fuzz({ run, seeds: ['a'] }, (inputs) => inputs >= 50_000);
  t.match(finding?.error, { message: 'found' });
  t.match(finding?.input.toString(), '1e999');
  t.ok(kept > 3, 'every step on the way was kept');
});

t.test('says what breaks a rule', async (t) => {
  const run = () => {
    const before = process.threadCpuUsage();
    while (process.threadCpuUsage(before).user < 150_000);
  };
  const slow = { run, seeds: ['a'] };
  t.match((await fuzz(slow, () => true)).finding?.error, { message: /^\d+ ms for one input$/ });
});

for (const [name, target] of Object.entries(targets))
  t.test(name, async (t) => {
    const { finding, inputs, blocks } = await fuzz(target, (inputs) => inputs >= INPUTS);
    t.equal(finding, undefined, `${finding?.error ?? 'no finding'} ${finding?.input.toString('base64') ?? ''}`);
    t.ok(blocks > 0, `${inputs} inputs reached ${blocks} blocks`);
  });
