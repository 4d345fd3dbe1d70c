/** `webdist backup` and `webdist restore`: the commands of docs/backup.md, and what they refuse. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openLedger } from '../../../src/ledger/ledger.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { openShell, shellBlocksOf } from '../../harness/page.ts';

const SECRET = 'one secret of at least 32 characters';

t.test('the commands of the page, in its order', async (t) => {
  const folder = temporaryFolder(t);
  const [dataDir, auditFile] = [join(folder, 'data'), join(folder, 'audit.jsonl')];
  const ledgerFile = join(dataDir, 'ledger.sqlite');
  const run = openShell(folder, { WEBDIST_DATA_DIR: dataDir, WEBDIST_AUDIT: auditFile });
  const ledger = await openLedger(`sqlite://${ledgerFile}`);
  await ledger.addInstalls([{ subject: 1, appleItemId: '1', installedAtSeconds: 2, redownloadAtSeconds: 3 }]);
  writeFileSync(join(dataDir, 'ledger-secret'), SECRET, { mode: 0o600 });
  writeFileSync(join(dataDir, 'distribution-key.pem'), 'PRIVATE');
  writeFileSync(join(folder, 'passphrase'), 'correct horse');

  const commands = shellBlocksOf('docs/backup.md').flatMap((block) => block.split('\n'));
  const done: string[] = [];
  for (const command of commands) {
    if (command === 'webdist restore webdist.backup') {
      await ledger.close();
      rmSync(dataDir, { recursive: true });
    }
    const { code, stderr } = await run(command);
    t.equal(code, 0, `${command}\n${stderr}`);
    done.push(command.split(' ').slice(0, 2).join(' '));
    if (command === 'webdist backup --out webdist.backup') {
      const { mode } = statSync(join(folder, 'webdist.backup'));
      t.equal(mode & 0o777, 0o600);
      t.match(stderr, /Not in the backup: distribution-key\.pem\./);
    }
    if (command === 'webdist restore webdist.backup --dry-run') t.equal((await ledger.stats()).installs, 1);
  }
  for (const one of ['webdist backup', 'webdist restore', 'openssl enc']) t.ok(done.includes(one), one);
  const restored = await openLedger(`sqlite://${ledgerFile}`);
  t.teardown(() => restored.close());
  t.equal((await restored.stats()).installs, 1);
  t.equal(readFileSync(join(dataDir, 'ledger-secret'), 'utf8').trim(), SECRET);
  t.match(readFileSync(auditFile, 'utf8'), /"action":"write a backup of .+"action":"restore 1 installs/s);

  const table: readonly (readonly [command: string, code: number, stderr: RegExp])[] = [
    ['webdist backup --out webdist.backup', 1, /^webdist: webdist\.backup already exists and was not changed\./m],
    ['webdist backup --out nowhere/x', 1, /^webdist: nowhere\/x cannot be written: its folder does not exist/m],
    ['webdist backup --out - --json | cat', 2, /^webdist: With --out -, stdout must be a pipe/m],
    ['webdist backup', 2, /required option '--out <file>'/],
    ['webdist restore webdist.backup', 2, /^webdist: This needs confirmation: Restore 1 installs .+ --yes/m],
    ['webdist restore passphrase', 1, /^webdist: passphrase is not a backup of webdist/m],
    ['WEBDIST_LEDGER=off webdist restore webdist.backup', 1, /^webdist: WEBDIST_LEDGER is off, which keeps no/m],
    ['WEBDIST_DATA_DIR=none webdist backup --out other', 1, /^webdist: There is no ledger at /m],
    [`WEBDIST_LEDGER_SECRET=${'x'.repeat(32)} webdist restore webdist.backup --yes`, 1, /another WEBDIST_LEDGER_SEC/],
  ];
  for (const [command, code, stderr] of table) t.match(await run(command), { code, stdout: '', stderr }, command);
  t.notOk(existsSync(join(folder, 'other')));
  t.match(JSON.parse((await run('webdist restore webdist.backup --yes --json')).stdout), {
    file: 'webdist.backup',
    entries: { installs: 1, 'ledger-secret': 1 },
  });
  t.match(
    (await run('WEBDIST_DATA_DIR=$PWD/empty webdist restore webdist.backup --dry-run')).stdout,
    /^Would restore 1/,
  );
  t.notOk(readdirSync(folder).includes('empty'), '--dry-run creates nothing');
});
