/** Certificates for servers of tests, made with openssl. */

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';

/** Why none can be made here, or false. */
export const noOpenssl: string | false = spawnSync('openssl', ['version']).status !== 0 && 'openssl is not installed';

/** A self-signed certificate for hosts, valid for some days from now, or expired if `days` is negative. Its subject differs from all others. */
export function makeCertificate(host: string, days: number, ...others: string[]): { key: string; cert: string } {
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '-', '-out', '-'];
  const names = [host, ...others].map((name) => `DNS:${name}`).join();
  const subject = [
    '-subj',
    `/CN=${host} ${days}`,
    '-addext',
    `subjectAltName=${names}`,
    '-days',
    String(Math.max(days, 1)),
  ];
  const { stdout } = spawnSync('openssl', ['req', '-x509', ...options, ...subject], { encoding: 'utf8' });
  const cert = stdout.slice(stdout.indexOf('-----BEGIN CERTIFICATE'));
  const key = stdout.slice(0, stdout.length - cert.length);
  return { key, cert: days > 0 ? cert : resigned({ key, cert }, days) };
}

/** `openssl req` makes no certificate that has already expired, but `openssl x509` does. */
function resigned({ key, cert }: { key: string; cert: string }, days: number): string {
  const command = 'openssl x509 -in <(echo "$CERT") -signkey <(echo "$KEY") -days "$DAYS"';
  const env = { ...process.env, KEY: key, CERT: cert, DAYS: String(days) };
  return spawnSync('bash', ['-c', command], { encoding: 'utf8', env }).stdout;
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
