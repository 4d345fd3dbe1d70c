import t from 'tap';
import { post } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

const page = { origin: 'https://example.com' };
const report = { steps: ['shown', 'ready'], codes: ['offline'] };

t.test('reports of the install button', async (t) => {
  const sandbox = await startSandbox(t);
  const app = sandbox.settings.WEBDIST_BUNDLE_ID;
  const { url } = await startReady(t, sandbox, {
    WEBDIST_MODE: 'production',
    WEBDIST_BUTTON_ERRORS: '0.25',
    WEBDIST_RATE_LIMIT_ADDRESS: '7',
  });
  const send = async (body: object, headers: Record<string, string> = page) =>
    (await post(`${url}/button-errors`, body, headers)).status;
  t.equal(await send(report), 204);
  t.equal(await send({ ...report, app: 'com.example.other', codes: ['made_up', 'made-up', 'offline'] }), 204);
  t.equal(await send({ ...report, steps: ['installed'] }), 400, 'a step that there is not');
  t.equal(await send({ ...report, visitor: 'x' }), 400, 'a member that there is not');
  t.equal(await send({ ...report, codes: ['x'.repeat(2000)] }), 413, 'too long');
  t.equal(await send(report, { origin: 'https://copycat.example' }), 403, 'another website');
  t.equal(await send(report), 204);
  t.equal(await send(report), 429, 'limited as pages are');

  const metrics = await (await fetch(`${url}/metrics`)).text();
  const lines = metrics.split('\n').filter((line) => line.startsWith('webdist_button_'));
  t.strictSame(lines.toSorted(), [
    `webdist_button_errors_total{app="${app}",code="offline"} 8`,
    'webdist_button_errors_total{app="unknown",code="offline"} 4',
    'webdist_button_errors_total{app="unknown",code="other"} 4',
    `webdist_button_visits_total{app="${app}",step="ready"} 8`,
    `webdist_button_visits_total{app="${app}",step="shown"} 8`,
    'webdist_button_visits_total{app="unknown",step="ready"} 4',
    'webdist_button_visits_total{app="unknown",step="shown"} 4',
  ]);
  t.match(await (await fetch(`${url}/install-button.js`)).text(), "'0.25'", 'the button gets the share');
});

t.test('without the setting there is no such path', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), { WEBDIST_MODE: 'production' });
  t.equal((await post(`${url}/button-errors`, report, page)).status, 404);
});
