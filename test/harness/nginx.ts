/** nginx with a self-signed certificate, and a proxy through which a browser finds it under the names of a website. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort, listen, untilListening } from './port.ts';

const NGINX = '/usr/sbin/nginx';

/** Why nginx cannot run here, or false. */
export const noNginx: string | false = !existsSync(NGINX) && `${NGINX} is not installed`;

/**
 * A website of `files` at example.com, www.example.com and copycat.example, with the service's paths below it, and the
 * service at install.example.com. `proxyPort` takes CONNECT requests for these names.
 */
export async function openWebServer(t: Test, service: string, files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-nginx-'));
  chmodSync(folder, 0o755); // its workers run as nobody
  const root = join(folder, 'site');
  mkdirSync(root);
  for (const [name, html] of Object.entries(files)) writeFileSync(join(root, name), html);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, 'key.pem')];
  const certificate = ['-days', '1', '-subj', '/CN=example.com', '-out', join(folder, 'cert.pem')];
  spawnSync('openssl', ['req', '-x509', ...key, ...certificate]);
  const port = await freePort();
  writeFileSync(join(folder, 'nginx.conf'), configuration({ folder, root, port, service }));
  const child = spawn(NGINX, ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], {
    stdio: 'ignore',
  });
  t.teardown(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
  });
  await untilListening(port);
  return { proxyPort: await openProxy(t, port) };
}

type Places = { readonly folder: string; readonly root: string; readonly port: number; readonly service: string };

function configuration({ folder, root, port, service }: Places): string {
  const host = `listen 127.0.0.1:${port} ssl; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`;
  const pass = `proxy_pass ${service}; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection "";`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
events { worker_connections 64; }
http { access_log off; types { text/html html; } ${temporary.join(' ')}
  server { ${host} server_name example.com www.example.com copycat.example; root ${root};
    location ~ ^/(install-button.*\\.js|install-token|installs)$ { ${pass} } }
  server { ${host} server_name install.example.com; location / { ${pass} } } }`;
}

const names = ['example.com:443', 'www.example.com:443', 'install.example.com:443', 'copycat.example:443'];

/** Refuses everything but tunnels to nginx, such as what browsers send to their vendors. */
async function openProxy(t: Test, port: number): Promise<number> {
  const proxy = createServer((_request, response) => response.writeHead(403).end());
  proxy.on('connect', ({ url = '' }, socket) => {
    socket.on('error', () => socket.destroy());
    if (!names.includes(url)) return socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const tunnel = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      tunnel.pipe(socket).pipe(tunnel);
    });
    tunnel.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('close', () => tunnel.destroy());
  });
  t.teardown(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return listen(proxy);
}
