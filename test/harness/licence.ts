/** A licence server for the doctor: two certificates and three endpoints, which a test can break. */

import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { Test } from 'tap';
import { listen } from './port.ts';

export type LicenceServer = {
  /** The five settings that name it. */
  readonly settings: Readonly<Record<string, string>>;
  /** What is wrong with it; by default, nothing. */
  fault: 'down' | 'no certificates' | 'certificates that end' | undefined;
};

export async function startLicenceServer(t: Test): Promise<LicenceServer> {
  const certificate = (days: string) =>
    spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', '/dev/null', '-subj', '/CN=licence', '-days', days, '-outform', 'DER'],
    ]).stdout;
  const [good, ending] = [certificate('90'), certificate('3')];
  const server = createServer((request, response) => {
    const { fault } = licence;
    if (!request.url?.endsWith('.cer')) response.writeHead(fault === 'down' ? 503 : 405).end();
    else response.end(fault === 'certificates that end' ? ending : fault === 'no certificates' ? '' : good);
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
