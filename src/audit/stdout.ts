/** Audit lines on stdout, between the lines of the log. Only audit lines begin with `{"chain":`. */

import type { Sink } from './sink.ts';

export const openStdoutSink = (): Sink => ({
  name: 'stdout:',
  write: (lines) =>
    new Promise((resolve, reject) => {
      const text = lines.map((line) => `${line.text}\n`).join('');
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    }),
  async reopen() {
    // Stdout cannot be renamed.
  },
  async close() {
    // The log still uses stdout.
  },
});
