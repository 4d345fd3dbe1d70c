/**
 * The login to Vault with an identity of AWS (developer.hashicorp.com/vault/docs/auth/aws, type `iam`): a signed request
 * sts:GetCallerIdentity, which Vault sends to AWS to find out who signed it. The credentials are those of AWS's default
 * chain.
 */

import { createHash, createHmac } from 'node:crypto';
import { awsRefusal } from '../cloud/aws.ts';
import { withRefusals } from '../cloud/refusal.ts';
import { loadSdk, requireInstalled } from '../cloud/sdk.ts';

/**
 * Vault compares this header with `iam_server_id_header_value`, so that a request that was signed for one Vault cannot be
 * used at another.
 */
const SERVER_ID_HEADER = 'X-Vault-AWS-IAM-Server-ID';
const BODY = 'Action=GetCallerIdentity&Version=2011-06-15';
/** The region of the endpoint that AWS serves worldwide, to which Vault sends the request unless configured otherwise. */
const GLOBAL_REGION = 'us-east-1';

export type AwsIdentity = {
  /** The role in Vault. */
  readonly role: string | undefined;
  /** The value that Vault expects in the server id header, if any. */
  readonly serverId: string | undefined;
  /** The region of the STS endpoint; default: `us-east-1`, the global endpoint. */
  readonly region: string | undefined;
};

/** Returns the body of a login. Throws `config_invalid` if an SDK is missing, or `key_unreachable` without credentials. */
export async function awsLoginBody({ role, serverId, region = GLOBAL_REGION }: AwsIdentity): Promise<object> {
  const neededBy = 'VAULT_AWS_ROLE';
  requireInstalled(neededBy, ['@aws-sdk/credential-provider-node', '@smithy/signature-v4']);
  const { defaultProvider } = await loadSdk(
    '@aws-sdk/credential-provider-node',
    neededBy,
    () => import('@aws-sdk/credential-provider-node'),
  );
  const { SignatureV4 } = await loadSdk('@smithy/signature-v4', neededBy, () => import('@smithy/signature-v4'));
  // Read again for each login: they expire, and files with them are replaced.
  const credentials = defaultProvider({ ignoreCache: true });
  const hostname = stsHost(region);
  const { headers } = await withRefusals('The AWS login to Vault', awsRefusal, () =>
    new SignatureV4({ service: 'sts', region, credentials, sha256: Sha256 }).sign({
      method: 'POST',
      protocol: 'https:',
      hostname,
      path: '/',
      query: {},
      headers: {
        host: hostname,
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        ...(serverId && { [SERVER_ID_HEADER]: serverId }),
      },
      body: BODY,
    }),
  );
  return {
    role,
    iam_http_request_method: 'POST',
    iam_request_url: base64(`https://${hostname}/`),
    iam_request_body: base64(BODY),
    iam_request_headers: base64(JSON.stringify(headers)),
  };
}

/** docs.aws.amazon.com/general/latest/gr/sts.html */
const stsHost = (region: string) =>
  region === GLOBAL_REGION
    ? 'sts.amazonaws.com'
    : `sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;

const base64 = (text: string) => Buffer.from(text).toString('base64');

type Secret = string | ArrayBuffer | ArrayBufferView;

/** SHA-256, or with a secret its HMAC, in the form that the SDK's signer takes. */
class Sha256 {
  readonly #secret: Secret | undefined;
  #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>;
  constructor(secret?: Secret) {
    this.#secret = secret;
    this.#hash = this.#begin();
  }
  update(data: Uint8Array): void {
    this.#hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {
    this.#hash = this.#begin();
  }
  #begin() {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret as Uint8Array);
  }
}
