/** Secrets in files, mounted as Docker and Kubernetes do. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { openFile } from '../../src/secrets/file.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { until } from '../harness/until.ts';
import { secretsContract } from './contract.ts';

const isRoot = process.getuid?.() === 0;

t.test('contract', (t) =>
  secretsContract(t, async (t) => {
    const folder = t.testdir({ 'key.pem': 'the text', locked: 'x', large: 'x'.repeat(64 * 1024 + 1) });
    chmodSync(join(folder, 'locked'), 0);
    const open = (name: string) => openFile(pathToFileURL(join(folder, name)).href, {});
    return {
      backend: 'file',
      named: /file/,
      text: 'the text',
      change: (text) => writeFileSync(join(folder, 'key.pem'), text),
      open: () => open('key.pem'),
      failures: {
        absent: () => open('none'),
        malformed: () => open('large'),
        malformedLocator: () => openFile('file://elsewhere/key.pem', {}),
        ...(!isRoot && { denied: () => open('locked') }),
      },
      secrets: [],
    };
  }),
);

t.test('a file without permission', { skip: isRoot && 'root may read everything' }, async (t) => {
  const path = join(t.testdir({ locked: 'x' }), 'locked');
  chmodSync(path, 0);
  await t.rejects(openFile(pathToFileURL(path).href, {}).read(), { code: 'key_denied' });
});

t.test('a FIFO, a device or a socket is refused at once: opening one can block forever', async (t) => {
  const folder = temporaryFolder(t);
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const socket = join(folder, 'socket');
  const server = createServer().listen(socket);
  t.teardown(() => server.close());
  await once(server, 'listening');
  for (const path of [fifo, '/dev/zero', '/dev/null', socket])
    await t.rejects(openFile(pathToFileURL(path).href, {}).read(), {
      code: 'key_invalid',
      message: `The file ${path} is a pipe or a device. Use a regular file.`,
    });
});

t.test('a directory instead of a file', async (t) => {
  await t.rejects(openFile(pathToFileURL(t.testdir({})).href, {}).read(), { code: 'key_invalid' });
});

t.test('the swap of ..data by Kubernetes is detected', async (t) => {
  // The mount holds key -> ..data/key, ..data -> ..2026_1; an update renames a new link over ..data.
  const folder = t.testdir({ '..2026_1': { key: 'old' } });
  symlinkSync('..2026_1', join(folder, '..data'));
  symlinkSync('..data/key', join(folder, 'key'));
  const source = openFile(pathToFileURL(join(folder, 'key')).href, {});
  let noticed = false;
  const unwatch = source.watch?.(() => {
    noticed = true;
  });
  t.teardown(() => unwatch?.());
  // Repeated, because the watcher does not notice a swap before it has first read the file.
  for (let update = 2; !noticed; update++) {
    mkdirSync(join(folder, `..2026_${update}`));
    writeFileSync(join(folder, `..2026_${update}`, 'key'), 'newer');
    symlinkSync(`..2026_${update}`, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    await until(() => noticed, 'the swap to be noticed', 3).catch(() => undefined);
  }
  t.equal(await source.read(), 'newer');
});
