import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { claimsIn, complaintsOf, iPhone, linkOf, openSite, openStage, pageWith, reaches } from '../harness/browser.ts';
import { noChromium, openChromium } from '../harness/chromium.ts';

const NGINX = '/usr/sbin/nginx';

t.test('under a strict content security policy', { skip: noChromium }, async (t) => {
  const stage = await openStage(t);
  const module = await (await fetch(`${stage.service}/install-button.js`)).text();
  const integrity = `sha384-${createHash('sha384').update(module).digest('base64')}`;
  const policy = (scripts: string) => ({
    'content-security-policy': `default-src 'none'; script-src ${scripts}; style-src 'nonce-page'; img-src data:; connect-src 'self'; base-uri 'none'; require-trusted-types-for 'script'`,
  });
  const html = (script: string, attributes = '') =>
    pageWith(attributes, { lang: 'de', script }).replace('<style>', '<style nonce="page">');
  const site = await openSite(t, stage.service, {
    '/nonce': { html: html('nonce="page"'), headers: policy("'nonce-page'") },
    '/nonce-desktop': { html: html('nonce="page"', 'support="elsewhere"'), headers: policy("'nonce-page'") },
    '/integrity': {
      html: html(`integrity="${integrity}"`),
      headers: policy(`'${integrity}' http://localhost:*/install-button-texts.js`),
    },
  });
  const browser = await openChromium(t);
  for (const path of ['/nonce', '/integrity', '/nonce-desktop'])
    await t.test(path, async (t) => {
      const page = await (await browser.newContext(iPhone)).newPage();
      page.setDefaultTimeout(10_000);
      const complaints = complaintsOf(page);
      await page.goto(site.origin + path);
      if (path === '/nonce-desktop') await page.locator('install-button [part=qr] path').waitFor();
      else {
        await reaches(page, 'ready');
        await page.getByRole('link', { name: 'Installieren' }).waitFor();
      }
      t.strictSame(complaints, []);
      t.equal(await linkOf(page).evaluate((link) => getComputedStyle(link).borderRadius !== '0px'), true, 'and styled');
      await page.context().close();
    });
});

t.test(
  'behind nginx, over TLS',
  { skip: noChromium || (!existsSync(NGINX) && `${NGINX} is not installed`) },
  async (t) => {
    const stage = await openStage(t, { WEBDIST_ALLOWED_ORIGINS: 'https://www.example.com' });
    const nginx = await openNginx(stage.service);
    const resolve = ['example.com', 'www.example.com', 'install.example.com', 'copycat.example'].map(
      (name) => `MAP ${name}:443 127.0.0.1:${nginx.port}`,
    );
    const browser = await openChromium(t, `--host-resolver-rules=${resolve.join(',')},MAP * ~NOTFOUND`);
    t.teardown(() => nginx.close());
    const open = async (address: string) => {
      const page = await (await browser.newContext({ ...iPhone, ignoreHTTPSErrors: true })).newPage();
      page.setDefaultTimeout(10_000);
      const complaints = complaintsOf(page);
      await page.goto(address);
      return { page, complaints };
    };

    for (const [address, name] of Object.entries({
      'https://example.com/': 'page and service on the same host',
      'https://example.com/sibling.html': 'the service on a sibling host',
    }))
      await t.test(name, async (t) => {
        const { page, complaints } = await open(address);
        await reaches(page, 'ready');
        const href = (await linkOf(page).getAttribute('href')) ?? '';
        const verdict = await stage.sandbox.device({ installUrl: href, pageUrl: page.url() });
        t.ok(verdict.accepted, JSON.stringify(verdict.checks.filter(({ ok }) => !ok)));
        const [cookie] = await page.context().cookies(['https://example.com/', 'https://install.example.com/']);
        t.match(cookie, { name: 'webdist_device', secure: true, httpOnly: true, sameSite: 'Lax' });
        const reported = page.waitForResponse(
          (answer) => answer.url().endsWith('/installs') && answer.request().method() === 'POST',
        );
        const renewed = page.waitForRequest(
          (request) => request.url().endsWith('/install-token') && request.method() === 'POST',
        );
        await linkOf(page).tap();
        t.equal((await reported).status(), 204);
        const headers = await (await renewed).allHeaders();
        t.match(headers['cookie'], `webdist_device=${cookie?.value}`, 'the device stays the same');
        await page.waitForFunction(
          (old) => ![undefined, old].includes(document.querySelector('install-button')?.installUrl),
          href,
        );
        t.not(claimsIn(await linkOf(page).getAttribute('href')).nonce, claimsIn(href).nonce);
        t.strictSame(
          complaints.filter((line) => !line.includes('marketplace-kit')),
          [],
        );
        await page.context().close();
      });

    await t.test('a page of another website gets no link', async (t) => {
      const { page } = await open('https://www.example.com/sibling.html');
      await reaches(page, 'ready');
      await page.context().close();
      const other = await open('https://copycat.example/sibling.html');
      await reaches(other.page, 'error');
      t.equal(await linkOf(other.page).getAttribute('href'), null);
      await other.page.context().close();
    });
  },
);

/**
 * nginx with a self-signed certificate: a website at example.com and www, and the service below it and at
 * install.example.com.
 */
async function openNginx(service: string) {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-nginx-'));
  const port = await freePort();
  chmodSync(folder, 0o755); // its workers run as nobody
  const root = join(folder, 'site');
  mkdirSync(root);
  writeFileSync(join(root, 'index.html'), pageWith());
  writeFileSync(
    join(root, 'sibling.html'),
    pageWith().replace('"/install-button.js"', '"https://install.example.com/install-button.js"'),
  );
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
  const certificate = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=example.com',
  ];
  spawnSync('openssl', ['req', '-x509', ...certificate, ...files]);
  const host = `listen 127.0.0.1:${port} ssl; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`;
  const pass = `proxy_pass ${service}; proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection "";`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
events { worker_connections 64; }
http { access_log off; types { text/html html; } ${temporary.join(' ')}
  server { ${host} server_name example.com www.example.com copycat.example; root ${root};
    location ~ ^/(install-button.*\\.js|install-token|installs)$ { ${pass} } }
  server { ${host} server_name install.example.com; location / { ${pass} } } }`,
  );
  const child = spawn(NGINX, ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], {
    stdio: 'ignore',
  });
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
  for (let attempt = 0; attempt < 100 && !(await isUp()); attempt++) await new Promise((done) => setTimeout(done, 20));
  return {
    port,
    async close() {
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
