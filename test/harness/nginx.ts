/** nginx with a self-signed certificate, and a proxy through which a browser finds it under the names of a website. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { makeCertificate } from './certificates.ts';
import { temporaryFolder } from './folder.ts';
import { freePort, listen, untilListening } from './port.ts';

const NGINX = '/usr/sbin/nginx';

/** Why nginx cannot run here, or false. */
export const noNginx: string | false = !existsSync(NGINX) && `${NGINX} is not installed`;

/** The configuration of a web server that docs/proxy.md shows, for a service at another URL. */
export function documentedProxy(language: 'nginx' | 'caddyfile', service: string): string {
  const page = readFileSync('docs/proxy.md', 'utf8');
  const block = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(page)?.[1] ?? '';
  return block.replaceAll('http://127.0.0.1:8080', service).replaceAll('127.0.0.1:8080', new URL(service).host);
}

/**
 * A website of `files` at example.com, www.example.com and copycat.example, with the service's paths below it, and the
 * service at install.example.com. `proxyPort` takes CONNECT requests for these names.
 */
export async function openWebServer(t: Test, service: string, files: Readonly<Record<string, string>>) {
  const root = temporaryFolder(t);
  chmodSync(root, 0o755); // its workers run as nobody
  for (const [name, html] of Object.entries(files)) writeFileSync(join(root, name), html);
  const pass = `proxy_pass ${service}; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection "";`;
  const nginx = await startNginx(
    makeCertificate('example.com', 1),
    (listen) => `
  server { ${listen} server_name example.com www.example.com copycat.example; root ${root};
    location ~ ^/(install-button.*\\.js|install-token|installs)$ { ${pass} } }
  server { ${listen} server_name install.example.com; location / { ${pass} } }`,
  );
  t.teardown(nginx.close);
  return { proxyPort: await openProxy(t, nginx.port) };
}

/** Starts nginx with these servers, which `listen` with TLS on its port. */
export async function startNginx(certificate: { key: string; cert: string }, servers: (listen: string) => string) {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-nginx-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'key.pem'), certificate.key);
  writeFileSync(join(folder, 'cert.pem'), certificate.cert);
  const port = await freePort();
  const listen = `listen 127.0.0.1:${port} ssl; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
events { worker_connections 64; }
http { access_log off; types { text/html html; } ${temporary.join(' ')} ${servers(listen)} }`,
  );
  const child = spawn(NGINX, ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], {
    stdio: 'ignore',
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`nginx did not start:\n${readFileSync(join(folder, 'error.log'), 'utf8')}`);
  });
  await Promise.race([untilListening(port), ended]);
  ended.catch(() => undefined);
  return {
    port,
    async close() {
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
}

const names = ['example.com', 'www.example.com', 'install.example.com', 'copycat.example'];
const onOneAddress = Object.fromEntries(names.map((name) => [name, '127.0.0.1']));

/**
 * A proxy with tunnels to nginx at `port`, under the names of `addresses`. Everything else is refused, such as what browsers
 * send to their vendors.
 */
export async function openProxy(
  t: Test,
  port: number,
  addresses: Readonly<Record<string, string>> = onOneAddress,
): Promise<number> {
  const proxy = createServer((_request, response) => response.writeHead(403).end());
  proxy.on('connect', ({ url = '' }, socket) => {
    socket.on('error', () => socket.destroy());
    const address = addresses[url.replace(/:443$/, '')];
    if (!address) return socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const tunnel = connect(port, address, () => {
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
