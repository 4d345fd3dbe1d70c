/** Certificates for servers of tests, made with openssl. */

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';

/** Why none can be made here, or false. */
export const noOpenssl: string | false = spawnSync('openssl', ['version']).status !== 0 && 'openssl is not installed';

/** A self-signed certificate for hosts, valid for some days from now. Its subject differs from all others. */
export function makeCertificate(host: string, days: number, ...others: string[]): { key: string; cert: string } {
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '-', '-out', '-'];
  const names = [host, ...others].map((name) => `DNS:${name}`).join();
  const subject = ['-subj', `/CN=${host} ${days}`, '-addext', `subjectAltName=${names}`, '-days', String(days)];
  const { stdout } = spawnSync('openssl', ['req', '-x509', ...options, ...subject], { encoding: 'utf8' });
  const cert = stdout.slice(stdout.indexOf('-----BEGIN CERTIFICATE'));
  return { key: stdout.slice(0, stdout.length - cert.length), cert };
}

/** A self-signed certificate for `localhost` and its key, as files in a folder that any user can read. */
export function writeCertificate(folder: string, name = 'server') {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...files], { stdio: 'ignore' });
  for (const path of [key, certificate]) chmodSync(path, 0o644);
  return { key, certificate };
}
