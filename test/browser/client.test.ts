import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { InstallTokenError, installClient } from '../../src/browser/client.ts';
import { openStage } from '../harness/browser.ts';
import { hasDomain } from '../harness/website.ts';

t.test('the typed client, on a website’s own server', async (t) => {
  const apiKey = randomBytes(24).toString('base64url');
  const sha256 = createHash('sha256').update(apiKey).digest('hex');
  const stage = await openStage(t, { WEBDIST_API_KEYS: `website:${sha256}`, WEBDIST_RATE_LIMIT_ADDRESS: '2' });
  const client = installClient({ server: stage.service, apiKey });
  await hasDomain(stage.sandbox);

  const answer = await client.installToken({ account: 'customer 7', subject: 'device 1' });
  t.match(answer, { dtype: 'download', installUrl: /^marketplace-kit:\/\/install\?.*account=customer%207/ });
  const verdict = await stage.sandbox.device({ installUrl: answer.installUrl ?? '', pageUrl: 'https://example.com/' });
  t.ok(verdict.accepted);
  t.equal(await client.reportInstall({ nonce: answer.nonce }), undefined);
  t.match(await client.installTokens([{}, { app: 'com.example.other' }]), [
    { dtype: 'download' },
    { code: 'unknown_app' },
  ]);

  const refusal = await client.installToken({ app: 'com.example.other' }).catch((error: unknown) => error);
  t.ok(refusal instanceof InstallTokenError);
  t.match(refusal, { code: 'unknown_app', status: 404, retryAfterSeconds: undefined });

  const stranger = installClient({ server: `${stage.service}/` });
  const [first, second, third] = [1, 2, 3].map(() => stranger.installToken().catch((error: unknown) => error));
  t.match(await first, { code: 'unauthorized', status: 401 });
  await second;
  t.match(await third, { code: 'rate_limited', status: 429, retryAfterSeconds: Number });

  const nobody = installClient({ server: 'http://127.0.0.1:1' });
  t.match(await nobody.installToken().catch((error: unknown) => error), { code: 'unreachable', status: 0 });
  const aborted = client.installToken({}, AbortSignal.abort()).catch((error: unknown) => error);
  t.match(await aborted, { code: 'unreachable', cause: { name: 'AbortError' } });
});

t.test('an answer that is not webdist’s', async (t) => {
  const fetch = async () => new Response('<html>', { status: 502 });
  const client = installClient({ server: 'https://example.com/webdist', fetch });
  t.match(await client.installToken().catch((error: unknown) => error), { code: 'http_error', status: 502 });
});
