/** Commands that change something: `--dry-run` describes the change and does nothing, and harm needs a confirmation. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { accountOf, openClient } from '../harness/app-store-connect.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist, webdistJson } from '../harness/process.ts';
import { requestsSeen, startSandbox } from '../harness/sandbox.ts';
import { newSigner } from '../harness/stand-ins/app-store-connect.ts';

t.test('--dry-run', async (t) => {
  const sandbox = await startSandbox(t);
  const asc = openClient(t, accountOf(sandbox));
  const key = await asc.addKey({ publicKey: newSigner().publicKey, appleItemId: undefined });
  const domain = await asc.addDomain({ domain: 'example.com', referenceName: 'shop' });
  const dataDir = temporaryFolder(t);
  const env = { ...sandbox.settings, WEBDIST_DATA_DIR: dataDir };
  const changes = async () => (await requestsSeen(sandbox)).filter((request) => !request.startsWith('GET ')).length;
  const next = join(temporaryFolder(t), 'next.pem');
  await webdist(['keygen', '--out', next]);
  const before = await changes();
  const table: readonly (readonly [command: string, wanted: RegExp])[] = [
    ['keys add --app com.example.trailmap', /^Would register SHA256:\w+ for com\.example\.trailmap\.$/],
    [`keys remove ${key.id}`, /^Would remove the key \S+ \(SHA256:\w+\)\. Devices then refuse/],
    ['keys stop', /^Would stop signing for com\.example\.trailmap\. No device/],
    ['keys resume', /^Would resume signing for com\.example\.trailmap\.$/],
    ['domains add shop.example.org', /^Would register the domain shop\.example\.org\.$/],
    [`domains remove ${domain.id}`, /^Would remove the domain example\.com \(\S+\)\. Apps/],
    ['packages hold 2000000057', /^Would hold version 2000000057 of com\.example\.trailmap\./],
    ['packages resume 2000000057', /^Would end the hold of version 2000000057/],
    ['packages use newest', /^Would give the newest version of com\.example\.trailmap to every device\.$/],
    ['packages pull', /^Would fetch version \d+ of com\.example\.trailmap\.$/],
    ['packages pull --stage', /^Would fetch and hold version \d+ of com\.example\.trailmap\.$/],
    [
      `keys rotate --to ${pathToFileURL(next).href}`,
      /^Would replace the key of com\.example\.trailmap: none with SHA256:\w+/,
    ],
  ];
  for (const [command, wanted] of table) {
    const { code, stdout, stderr } = await webdist([...command.split(' '), '--dry-run'], env);
    t.match({ code, stdout: stdout.trimEnd() }, { code: 0, stdout: wanted }, `${command}: ${stderr}`);
  }
  t.match(await webdistJson(['keys', 'stop', '--dry-run'], env), { dryRun: true, would: /^stop signing for com/ });
  t.equal(await changes(), before, 'nothing was changed at Apple');
  t.notOk(existsSync(join(dataDir, 'orders.json')), 'no order was given');
  t.notOk(existsSync(join(dataDir, 'packages')), 'no package was fetched');

  for (const command of ['keys stop', 'packages hold 2000000057', 'packages use newest'])
    t.match(
      await webdist(command.split(' '), env),
      {
        code: 2,
        stdout: '',
        stderr:
          /^(The packages folder has no version 2000000057\. .+\n)?webdist: This needs confirmation: .+\? .*Use --yes when there is no terminal\.\n$/,
      },
      `${command} asks`,
    );
  t.notOk(existsSync(join(dataDir, 'orders.json')), 'without a confirmation no order was given');
});

t.test('ledger forget --dry-run', async (t) => {
  const env = { WEBDIST_DATA_DIR: temporaryFolder(t), WEBDIST_LEDGER: 'memory:' };
  const forget = (...args: string[]) => webdist(['ledger', 'forget', 'customer-4711', ...args], env);
  t.match(await forget('--dry-run'), { code: 0, stdout: /^Would delete 0 installs of [0-9a-f]{12}\.\n$/ });
  t.match(await forget(), { code: 0, stdout: /^forgotten installs {2}0\n$/ });
});
