/**
 * AWS's Security Token Service for tests: answers GetCallerIdentity if the signature is right, which it computes as AWS
 * describes (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
 */

import { createHash, createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { listen } from '../port.ts';

export const AWS_USER = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a secret of AWS', account: '111122223333' };

type SignedRequest = { readonly headers: Readonly<Record<string, string>>; readonly body: string };

const sha256 = (data: string) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

/** Whether a `POST /` is signed with the secret key; `headers` are in lower case. */
export function isSigned({ headers, body }: SignedRequest, { accessKeyId, secretAccessKey } = AWS_USER): boolean {
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8}\/([a-z0-9-]+)\/sts\/aws4_request), ?SignedHeaders=([^,]+), ?Signature=(.+)$/;
  const [, id, scope = '', region = '', names = '', signature] = form.exec(headers['authorization'] ?? '') ?? [];
  const signed = names.split(';').map((name) => `${name}:${headers[name]?.trim()}\n`);
  const canonical = ['POST', '/', '', signed.join(''), names, sha256(body)].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = [scope.slice(0, 8), region, 'sts', 'aws4_request'].reduce<string | Buffer>(
    (previous, part) => hmac(previous, part),
    `AWS4${secretAccessKey}`,
  );
  return id === accessKeyId && hmac(key, toSign).toString('hex') === signature;
}

/** Starts the service; returns its URL. */
export async function startSts(t: Test): Promise<string> {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const isCaller = isSigned({ headers, body }) && body.startsWith('Action=GetCallerIdentity');
    const arn = `arn:aws:iam::${AWS_USER.account}:user/webdist`;
    response.writeHead(isCaller ? 200 : 403, { 'content-type': 'text/xml' });
    response.end(
      isCaller
        ? `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>${arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>${AWS_USER.account}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
        : '<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>',
    );
  });
  const port = await listen(server);
  t.teardown(() => server.close());
  return `http://127.0.0.1:${port}`;
}
