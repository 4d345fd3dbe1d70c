/** The signed request with which AWS identifies this process to Vault. */

import t from 'tap';
import { awsLoginBody } from '../../src/vault/aws-login.ts';
import { AWS_USER, isSigned } from '../harness/stand-ins/sts.ts';
import { setVariables } from '../harness/stand-ins/variables.ts';

type Body = { iam_http_request_method: string; role?: string } & Record<
  'iam_request_url' | 'iam_request_body' | 'iam_request_headers',
  string
>;

/** The request that Vault sends to AWS. */
async function requestOf(identity: Partial<Parameters<typeof awsLoginBody>[0]>) {
  const body = (await awsLoginBody({ role: 'webdist', serverId: undefined, region: undefined, ...identity })) as Body;
  const decode = (text: string) => Buffer.from(text, 'base64').toString();
  const sent: Record<string, string> = JSON.parse(decode(body.iam_request_headers));
  const headers = Object.fromEntries(Object.entries(sent).map(([name, value]) => [name.toLowerCase(), value]));
  return { role: body.role, url: decode(body.iam_request_url), headers, body: decode(body.iam_request_body) };
}

t.test('the request', async (t) => {
  const { accessKeyId, secretAccessKey } = AWS_USER;
  setVariables(t, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
  for (const [region, host] of [
    [undefined, 'sts.amazonaws.com'],
    ['us-east-1', 'sts.amazonaws.com'],
    ['eu-central-1', 'sts.eu-central-1.amazonaws.com'],
    ['cn-north-1', 'sts.cn-north-1.amazonaws.com.cn'],
  ] as const) {
    const request = await requestOf({ region });
    t.equal(request.url, `https://${host}/`);
    t.match(request, { role: 'webdist', headers: { host }, body: /^Action=GetCallerIdentity/ });
    t.ok(isSigned(request), `signed for ${host}`);
  }
  const bound = await requestOf({ serverId: 'vault.example.com' });
  t.ok(isSigned(bound));
  t.match(bound.headers, { 'x-vault-aws-iam-server-id': 'vault.example.com' });
  t.match(bound.headers['authorization'], /SignedHeaders=[^,]*x-vault-aws-iam-server-id/, 'the server id is signed');
  bound.headers['x-vault-aws-iam-server-id'] = 'other.example.com';
  t.notOk(isSigned(bound), 'and cannot be changed');
});

t.test('credentials of a session', async (t) => {
  const { accessKeyId, secretAccessKey } = AWS_USER;
  setVariables(t, {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: 'session',
  });
  const request = await requestOf({});
  t.equal(request.headers['x-amz-security-token'], 'session');
  t.ok(isSigned(request));
});

t.test('no credentials', async (t) => {
  setVariables(t, {
    AWS_ACCESS_KEY_ID: '',
    AWS_SECRET_ACCESS_KEY: '',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/none',
    AWS_SHARED_CREDENTIALS_FILE: '/none',
  });
  await t.rejects(requestOf({}), {
    code: 'key_unreachable',
    message: /^The AWS login to Vault cannot be used: no AWS credentials were found/,
  });
});
