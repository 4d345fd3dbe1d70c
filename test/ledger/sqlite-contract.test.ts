import { join } from 'node:path';
import t from 'tap';
import { ledgerContract } from './contract.ts';

let files = 0;

await t.test('sqlite', async (test) => {
  const folder = test.testdir();
  await ledgerContract(test as typeof t, () => `sqlite://${join(folder, 'new', `${++files}.sqlite`)}`);
});

await t.test('memory', async (test) => {
  await ledgerContract(test as typeof t, () => 'memory:', false);
});
