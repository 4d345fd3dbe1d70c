/**
 * A process that writes to a SQLite ledger: `writer.ts PATH SUBJECT`; with the subject `fill`, it writes until the disk
 * is full, and then again.
 */

import { once } from 'node:events';
import { openLedger } from '../../src/ledger/ledger.ts';
import { installOf, subjectOf } from './contract.ts';

// Node ignores the signal for a file that is too large; the modules that tap loads would end the process.
process.on('SIGXFSZ', () => undefined);

const [, , path = '', name = ''] = process.argv;
const ledger = await openLedger(`sqlite://${path}`);

if (name === 'fill') {
  let recorded = 0;
  const report = (code?: string) => process.stdout.write(`${JSON.stringify({ code, recorded })}\n`);
  const record = async () => {
    await ledger.addInstalls([installOf(subjectOf(`${recorded}`))]);
    recorded++;
  };
  try {
    for (;;) await record();
  } catch (error) {
    report((error as { code: string }).code);
  }
  await once(process.stdin, 'data');
  await record();
  report();
} else {
  for (let count = 0; count < 20; count++)
    await patiently(() => ledger.addInstalls([installOf(subjectOf(`${name} ${count}`))]));
  await patiently(() => ledger.addInstalls([installOf(subjectOf(name)), installOf(subjectOf('everyone'))]));
}
await ledger.close();

/** Ten processes that write as fast as possible may wait longer for a lock than a request would. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++)
    try {
      return await work();
    } catch (error) {
      if (attempt === 20) throw error;
    }
}
