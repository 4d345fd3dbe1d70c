/** The service under a path of the page's own host, with the configurations that docs/proxy.md shows. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { documentedProxy, noNginx } from '../harness/nginx.ts';
import { freePort, untilListening } from '../harness/port.ts';
import { settingsIn, startService } from '../harness/service.ts';

const CADDY = '/usr/bin/caddy';
const noCaddy = !existsSync(CADDY) && `${CADDY} is not installed`;

async function startNginx(t: Test, service: string): Promise<string> {
  const [folder, port] = [temporaryFolder(t), await freePort()];
  chmodSync(folder, 0o755); // its workers run as nobody
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
events { worker_connections 64; }
http { access_log off; ${temporary.join(' ')} server { listen 127.0.0.1:${port}; server_name shop.example.com;
${documentedProxy('nginx', service)} } }`,
  );
  const child = spawn('/usr/sbin/nginx', [
    '-p',
    folder,
    '-e',
    join(folder, 'error.log'),
    '-c',
    join(folder, 'nginx.conf'),
  ]);
  t.teardown(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  await untilListening(port);
  return `http://127.0.0.1:${port}`;
}

async function startCaddy(t: Test, service: string): Promise<string> {
  const [folder, port] = [temporaryFolder(t), await freePort()];
  writeFileSync(
    join(folder, 'Caddyfile'),
    `{\n\tadmin off\n}\nhttp://127.0.0.1:${port} {\n${documentedProxy('caddyfile', service)}}\n`,
  );
  const child = spawn(CADDY, ['run', '--config', join(folder, 'Caddyfile')], {
    env: { ...process.env, HOME: folder },
  });
  t.teardown(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  await untilListening(port);
  return `http://127.0.0.1:${port}`;
}

/** The status of a GET of exactly this path; `fetch` would normalise it. */
async function statusOf(site: string, path: string): Promise<number | undefined> {
  const [response] = (await once(get(site, { path }), 'response')) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

/** A path in the spellings that a server may take for the same. */
const spellingsOf = (path: string) => [
  path,
  `/${path}`,
  `${path}/`,
  `${path}?x`,
  `x/../${path}`,
  `%${path.charCodeAt(0).toString(16)}${path.slice(1)}`,
];

for (const [name, skip, start] of [
  ['nginx', noNginx, startNginx],
  ['Caddy', noCaddy, startCaddy],
] as const)
  t.test(name, { skip }, async (t) => {
    const running = await startService(
      t,
      undefined,
      settingsIn(temporaryFolder(t), {
        WEBDIST_LEDGER: 'memory:',
        WEBDIST_PUBLIC_URL: 'https://shop.example.com/webdist',
        WEBDIST_TRUST_PROXY: '127.0.0.1',
        WEBDIST_LICENSE_DYNAMIC_URL: 'https://shop.example.com/licence',
        WEBDIST_OAUTH_LOGIN_URL: 'https://shop.example.com/login',
      }),
    );
    const site = await start(t, running.url);
    const page = { origin: 'https://shop.example.com' };

    for (const file of ['install-button.js', '.well-known/jwks.json'])
      t.equal((await fetch(`${site}/webdist/${file}`)).status, 200, file);
    const first = await post(`${site}/webdist/install-token`, {}, page);
    t.equal(first.status, 200);
    const setCookie = first.headers.get('set-cookie') ?? '';
    t.match(setCookie, /; Path=\/(;|$)/, 'the cookie is for the whole host');
    t.notMatch(setCookie, /Domain=/i);
    const cookie = first.cookie ?? '';
    t.equal((await post(`${site}/webdist/installs`, { nonce: first.body['nonce'] }, { ...page, cookie })).status, 204);
    t.equal((await post(`${site}/webdist/install-token`, {}, { ...page, cookie })).status, 200);
    const sources = running.log
      .events('install_token_issued')
      .map((line) => (JSON.parse(line) as { dtypeSource: string }).dtypeSource);
    t.strictSame(sources, ['none', 'cookie'], 'the device is recognised');

    const document = await (await fetch(`${site}/.well-known/marketplace-kit`)).text();
    t.match(document, /https:\/\/shop\.example\.com\/webdist\//, 'devices are sent to the path');
    const oauth = await (await fetch(`${site}/.well-known/oauth-authorization-server`)).text();
    t.match(oauth, /https:\/\/shop\.example\.com\/webdist\/oauth\/token/);
    for (const path of ['metrics', 'health/ready', 'livez', 'readyz', 'startupz', 'docs', 'openapi.json'])
      for (const spelling of spellingsOf(path))
        t.not(await statusOf(site, `/webdist/${spelling}`), 200, `${spelling} is not for visitors`);
  });
