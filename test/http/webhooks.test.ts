/** Webhooks of App Store Connect: the signature is checked, and an event about a new version causes a pull. */

import { createHmac } from 'node:crypto';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { settingsIn, startReady, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const SECRET = 'This is my secret';

const sign = (body: string, secret = SECRET) => `hmacsha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

async function deliver(url: string, body: string, signature: string | undefined = sign(body)) {
  const answer = await fetch(`${url}/webhooks/app-store-connect`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(signature && { 'x-apple-signature': signature }) },
    body,
  });
  return answer.status;
}

/** An event in the form of Apple's example (docs/apple-facts.md §5.5). */
const eventOf = (type: string) =>
  JSON.stringify({
    data: {
      type,
      id: 'd3b0',
      version: 1,
      attributes: { appId: '6500000001', timestamp: '2026-07-10T22:35:02.541411Z' },
    },
  });

const created = eventOf('alternativeDistributionPackageVersionCreated');

t.equal(
  sign('Hello, World!'),
  'hmacsha256=7f062172b01cb00b53ca068614674a3d982a34062a0f5d37687d5e3377e54657',
  "Apple's example",
);

const deliveries: [name: string, body: string, signature: string | undefined, status: number][] = [
  ['signed', created, sign(created), 204],
  ['of another type', eventOf('buildUploadStateUpdated'), sign(eventOf('buildUploadStateUpdated')), 204],
  ['with spaces in the JSON', ` ${created}\n`, sign(` ${created}\n`), 204],
  ['delivered again', created, sign(created), 204],
  ['of a type that Apple does not have yet', eventOf('constructor'), sign(eventOf('constructor')), 204],
  ['too large', `${created}${' '.repeat(20_000)}`, sign(`${created}${' '.repeat(20_000)}`), 413],
  ['signed twice', created, `${sign(created)}, ${sign(created)}`, 401],
  ['signed with SHA-1', created, `hmacsha1=${createHmac('sha1', SECRET).update(created).digest('hex')}`, 401],
  ['with the secret itself', created, `hmacsha256=${SECRET}`, 401],
  ['an event in a list', `[${created}]`, sign(`[${created}]`), 400],
  ['not signed', created, '', 401],
  ['signed with another secret', created, sign(created, 'another'), 401],
  ['with the signature of another body', created, sign('{}'), 401],
  ['changed afterwards', `${created} `, sign(created), 401],
  ['without the name of the algorithm', created, sign(created).slice('hmacsha256='.length), 401],
  ['cut off', created, sign(created).slice(0, -1), 401],
  ['in capitals', created, sign(created).toUpperCase(), 401],
  ['empty', '', sign(''), 400],
  ['signed, but no JSON', 'news', sign('news'), 400],
  ['signed, but no event', '{"data":[]}', sign('{"data":[]}'), 400],
];

t.test('the signature is checked before anything else', async (t) => {
  const { url, log } = await startService(
    t,
    undefined,
    settingsIn(temporaryFolder(t), { WEBDIST_WEBHOOK_SECRET: SECRET }),
  );
  for (const [name, body, signature, status] of deliveries) t.equal(await deliver(url, body, signature), status, name);
  t.equal(log.events('webhook_received').length, deliveries.filter(([, , , status]) => status === 204).length);
  t.notMatch(log.text(), SECRET);
});

t.test('without a secret there is no such path; with one, the requests of an address are limited', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  t.equal(await deliver(url, created), 404);
  const settings = settingsIn(temporaryFolder(t), { WEBDIST_WEBHOOK_SECRET: SECRET, WEBDIST_RATE_LIMIT_ADDRESS: '5' });
  const limited = await startService(t, undefined, settings);
  const statuses = [];
  for (let count = 0; count < 7; count++) statuses.push(await deliver(limited.url, created, 'wrong'));
  t.strictSame(statuses, [401, 401, 401, 401, 401, 429, 429]);
});

t.test('news of a version cause a pull: links install it', async (t) => {
  const sandbox = await startSandbox(t);
  const { url, log, serverDeps } = await startReady(t, sandbox, {
    WEBDIST_MODE: 'production',
    WEBDIST_WEBHOOK_SECRET: SECRET,
    WEBDIST_PACKAGES_DIR: temporaryFolder(t),
    WEBDIST_PACKAGES_URL: `${sandbox.baseUrl}/adp`,
  });
  const app = { appleItemId: '6500000001' };
  const current = () => serverDeps.catalogue.currentOf(app as never)?.appleVersionId;
  t.equal(current(), undefined);
  t.equal(await deliver(url, eventOf('buildUploadStateUpdated')), 204);
  t.equal(await deliver(url, eventOf('appStoreVersionAppVersionStateUpdated')), 204);
  await until(() => current() === '2000000042', 'the first version');
  await fetch(`${sandbox.baseUrl}/_sandbox/packages`, { method: 'POST' });
  await Promise.all([1, 2, 3, 4, 5].map(() => deliver(url, created)));
  await until(() => current() === '2000000057', 'the new version');
  t.equal(log.events('package_pulled').length, 2);
  t.strictSame(log.events('package_not_pulled'), []);
});
