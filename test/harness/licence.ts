/** A licence server for the doctor: two certificates and three endpoints, which a test can break. */

import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { Test } from 'tap';
import { listen } from './port.ts';

export type LicenceServer = {
  /** The five settings that name it. */
  readonly settings: Readonly<Record<string, string>>;
  /** What is wrong with it; by default, nothing. */
  fault:
    | 'down'
    | 'no certificates'
    | 'certificates that expire soon'
    | 'certificates that have expired'
    | 'a page'
    | 'a redirect'
    | undefined;
};

/** OpenSSL does not make expired certificates; this one expired on 2 January 2024. */
const ended = Buffer.from(
  'MIIBeTCCAR+gAwIBAgIUS9Vi3m5EA2ZG9w4vlqGR47E+f5YwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHbGljZW5jZTAeFw0yNDAxMDEwMDAwMDFaFw0yNDAxMDIwMDAwMDFaMBIxEDAOBgNVBAMMB2xpY2VuY2UwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARGEgrFaY3wHTcwzSMg67crTRTC5dlI9n/6a1KrQ431/rPkMDuC/qXKVR+cOhilTrUg3rArfHRN4/sX8y6IiV/vo1MwUTAdBgNVHQ4EFgQUWlidfLPgynoaXpKRlkqbn+J71DAwHwYDVR0jBBgwFoAUWlidfLPgynoaXpKRlkqbn+J71DAwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBx2ew5TbpVXGAYenU6JHSOqChdozWUL9E3o1X+szImVgIhAKI/en3Lzmc3Zu6LnWDCMOLAIU/aE0rJplCiL+mvcCOH',
  'base64',
);

export async function startLicenceServer(t: Test): Promise<LicenceServer> {
  const certificate = (days: string) =>
    spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', '/dev/null', '-subj', '/CN=licence', '-days', days, '-outform', 'DER'],
    ]).stdout;
  const good = certificate('90');
  const others: Readonly<Record<string, Buffer>> = {
    'no certificates': Buffer.alloc(0),
    'certificates that expire soon': certificate('3'),
    'certificates that have expired': ended,
  };
  const answers: Readonly<Record<string, readonly [status: number, headers: Record<string, string>]>> = {
    down: [503, {}],
    'a page': [200, { 'content-type': 'text/html; charset=utf-8' }],
    'a redirect': [308, { location: '/licence/' }],
  };
  const server = createServer((request, response) => {
    const { fault } = licence;
    if (request.url?.endsWith('.cer')) response.end(others[fault ?? ''] ?? good);
    else response.writeHead(...(answers[fault ?? ''] ?? [405, {}])).end();
  });
  const url = `http://127.0.0.1:${await listen(server)}`;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const licence: LicenceServer = {
    settings: {
      WEBDIST_LICENSE_DYNAMIC_URL: `${url}/license`,
      WEBDIST_LICENSE_RENEWAL_URL: `${url}/renew`,
      WEBDIST_LICENSE_RESOLUTION_URL: `${url}/resolve`,
      WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: `${url}/signing.cer`,
      WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: `${url}/encryption.cer`,
    },
    fault: undefined,
  };
  return licence;
}
