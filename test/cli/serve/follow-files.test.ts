/** A service follows its apps file: apps come, go and change while it serves, and a file that cannot be used changes nothing. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { followFiles } from '../../../src/cli/serve/follow-files.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { openLoad } from '../../harness/load.ts';
import { settingsOfApps, startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

type App = Readonly<Record<string, unknown>>;

t.test('the apps file is read again when it changes', async (t) => {
  const folder = temporaryFolder(t);
  const settings = settingsOfApps(folder, 3);
  const file = String(settings['WEBDIST_CONFIG']);
  const [first, second, third] = JSON.parse(readFileSync(file, 'utf8')).apps as [App, App, App];
  const write = (content: unknown) =>
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  write({ apps: [first, second] });
  const running = await startReady(t, undefined, settings);
  const { url, log, serverDeps } = running;
  followFiles(settings, serverDeps.config, running);
  const token = async (app: App) => {
    const { status, body } = await post(`${url}/install-token`, { app: app['bundleId'] });
    return status === 200 ? body['installUrl'] : body['code'];
  };
  const seen = (event: string, count: number) =>
    until(() => log.events(event).length >= count, `${count} lines of ${event}`);

  const wrong: unknown[] = [];
  const load = openLoad(100, async () => {
    const answer = await token(first);
    if (!String(answer).startsWith('marketplace-kit:')) wrong.push(answer);
  });
  t.equal(await token(third), 'unknown_app');

  write({ apps: [first, second, third] });
  await seen('apps_changed', 1);
  t.match(JSON.parse(log.events('apps_changed')[0] ?? ''), { added: ['com.example.app2'], removed: [] });
  t.match(await token(third), /^marketplace-kit:/, 'an app that was added');

  write({ apps: [first, { ...third, appShareUrl: 'https://shop.example.com/third' }] });
  await seen('apps_changed', 2);
  t.equal(await token(second), 'unknown_app', 'an app that was removed');
  t.match(await token(third), /third/, 'an app that was changed');
  const metrics = await (await fetch(`${url}/metrics`)).text();
  t.match(metrics, /^webdist_key_registered\{app="com\.example\.app2"\} 1$/m);
  t.notMatch(metrics, /^webdist_key_registered\{app="com\.example\.app1"\}/m);
  t.strictSame(Object.keys(running.service.health().apps), ['com.example.app0', 'com.example.app2']);

  const unusable: readonly (readonly [name: string, content: unknown])[] = [
    ['no apps', { apps: [] }],
    ['not YAML', 'apps: ['],
    ['an unknown member', { apps: [first, { ...third, colour: 'red' }] }],
    ['an id twice', { apps: [first, first] }],
    ['a malformed id', { apps: [{ ...first, appleItemId: 'x' }] }],
    ['a key that does not exist', { apps: [first, { ...third, key: pathToFileURL(join(folder, 'none.pem')).href }] }],
    ['another domain', { domain: 'other.example.com', apps: [first] }],
    ['empty', ''],
  ];
  for (const [index, [name, content]] of unusable.entries()) {
    write(content);
    await seen('apps_invalid', index + 1);
    t.match(await token(third), /third/, `${name}: the apps are as before`);
  }
  t.match(await (await fetch(`${url}/metrics`)).text(), /^webdist_config_file_invalid 1$/m);
  write('\n');
  write(' ');
  write({ apps: [first] });
  await seen('apps_valid', 1);
  t.equal(log.events('apps_invalid').length, unusable.length, 'each reason is reported once');
  t.match(await (await fetch(`${url}/metrics`)).text(), /^webdist_config_file_invalid 0$/m);
  t.equal(await token(third), 'unknown_app');
  t.match(running.service.jwks().keys, { length: 1 });

  await load.end();
  t.strictSame(wrong, [], 'requests for another app notice nothing');
});
