/** An audit sink that cannot be written for a while: one report at the beginning, one at the end, with the number of lost lines. */

import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openLog } from '../../src/log.ts';
import { openMetrics } from '../../src/metrics.ts';
import { auditReport } from '../../src/service/audit-trail.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { settingsIn, startService } from '../harness/service.ts';

/** What happens, in letters (w: lines are written, f: a write fails, x: a line is lost), and what is logged. */
const histories: [happens: string, logged: string[]][] = [
  ['ww', ['audit_head']],
  ['wfw', ['audit_head', 'audit_not_written', 'audit_written 0']],
  ['wffffw', ['audit_head', 'audit_not_written', 'audit_written 0']],
  ['wffxxxfw', ['audit_head', 'audit_not_written', 'audit_lost', 'audit_written 3']],
  ['wfxwfxxw', ['audit_head', ...['1', '2'].flatMap((n) => ['audit_not_written', 'audit_lost', `audit_written ${n}`])]],
  ['fw', ['audit_not_written', 'audit_written 0', 'audit_head']],
  [`wf${'x'.repeat(500)}`, ['audit_head', 'audit_not_written', 'audit_lost']],
];

for (const [happens, logged] of histories) {
  const lines: { event: string; lost?: number }[] = [];
  const log = openLog('info', { write: (line: string) => void lines.push(JSON.parse(line)) });
  const report = auditReport('the sink', { metrics: openMetrics(), log, nowMs: () => 0 });
  for (const letter of happens) {
    if (letter === 'w') report.written(1, 'the hash');
    else if (letter === 'f') report.failed(new Error('no'));
    else report.lost(1);
  }
  t.strictSame(
    lines.map(({ event, lost }) => (lost === undefined ? event : `${event} ${lost}`)),
    logged,
    happens.slice(0, 20),
  );
}

t.test('a disk that is still full at the end: the error is one sentence with the number of lines', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'audit.jsonl');
  symlinkSync('/dev/full', path);
  const { service, url } = await startService(
    t,
    undefined,
    settingsIn(folder, { WEBDIST_AUDIT: path, WEBDIST_ANONYMOUS: 'any' }),
  );
  for (let count = 0; count < 3; count++) t.equal((await askToken(url)).status, 200, 'tokens are issued');
  await t.rejects(service.close(), {
    code: 'state_invalid',
    message:
      /^\S+audit\.jsonl cannot be written: the disk is full \(.*\)\. 3 lines are missing at its end\. The log has a line/,
  });
});
