/** The shipped proxy: what a visitor must not be able to choose is set or removed (docker/nginx). */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { noNginx } from '../harness/nginx.ts';
import { freePort, listen, untilListening } from '../harness/port.ts';

const NGINX = '/usr/sbin/nginx';
const chosen = {
  'cf-ipcountry': 'FR',
  'cloudfront-viewer-country': 'FR',
  'x-vercel-ip-country': 'FR',
  'x-appengine-country': 'FR',
  'x-country-code': 'FR',
  'x-geo-country': 'FR',
  'x-forwarded-for': '203.0.113.7',
  'x-forwarded-proto': 'ftp',
  'x-forwarded-host': 'evil.example',
};

/** The shipped files with ports and folders that work here: no certificate, no Docker. */
function configurationFor(folder: string, port: number, service: number, cdn: string): string {
  const proxy = readFileSync('docker/nginx/proxy.conf', 'utf8')
    .replace('include /etc/nginx/front.conf;', `root ${folder};\nlocation = / { try_files /index.html =404; }`)
    .replace('set $service webdist;', 'set $service 127.0.0.1;')
    .replace('$service:8080', `$service:${service}`);
  writeFileSync(join(folder, 'proxy.conf'), proxy);
  const [head = ''] = readFileSync('docker/nginx/nginx.conf', 'utf8').split('  server {\n    listen 8443');
  return `${head}}`
    .replace(/(?<= )\/tmp\//g, `${folder}/`)
    .replace('/etc/nginx/proxy.conf', join(folder, 'proxy.conf'))
    .replace('listen 8080;', `listen 127.0.0.1:${port};`)
    .replace(/ +listen \[::\].*\n/, '')
    .replace('/dev/stdout', join(folder, 'access.log'))
    .replace('default 0;', `default 0; ${cdn}`);
}

for (const [name, cdn, country] of [
  ['a visitor', '', undefined],
  ['a CDN', '127.0.0.1/32 1;', 'FR'],
] as const)
  t.test(`the header fields of ${name}`, { skip: noNginx }, async (t) => {
    const folder = temporaryFolder(t);
    let received: Readonly<Record<string, unknown>> = {};
    const service = createServer(({ headers }, response) => {
      received = headers;
      response.end();
    });
    t.teardown(() => service.close());
    const port = await freePort();
    writeFileSync(join(folder, 'nginx.conf'), configurationFor(folder, port, await listen(service), cdn));
    const nginx = spawn(NGINX, ['-p', folder, '-c', join(folder, 'nginx.conf')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    t.teardown(async () => {
      nginx.kill('SIGTERM');
      if (nginx.exitCode === null) await once(nginx, 'exit');
    });
    await untilListening(port);
    t.equal((await fetch(`http://127.0.0.1:${port}/install-token`, { headers: chosen })).status, 200);
    t.equal(received['cf-ipcountry'], country);
    for (const header of Object.keys(chosen).filter((one) => one.endsWith('country') || one.endsWith('country-code')))
      if (header !== 'cf-ipcountry') t.equal(received[header], undefined, header);
    t.equal(received['x-forwarded-for'], '127.0.0.1');
    t.equal(received['x-forwarded-proto'], 'http');
    t.equal(received['x-forwarded-host'], '127.0.0.1');
    for (const path of ['/metrics', '/health/ready', '/livez', '/readyz', '/startupz'])
      t.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 404, path);
  });
