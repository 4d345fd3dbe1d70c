/**
 * AWS for tests: moto's server (`pip install 'moto[server]'`) behind a proxy that checks how requests are signed, which
 * moto does not, and that can fail as AWS does.
 */

import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { listen } from '../port.ts';
import { type Faulty, RETRY_AFTER_SECONDS, showFault, type VendorFault } from './fault.ts';

/** Why tests must be skipped: moto is not installed. Undefined if it is. */
export const withoutMoto =
  spawnSync('python3', ['-c', 'import moto.server, cryptography']).status === 0
    ? undefined
    : "moto is not installed (pip install 'moto[server]')";

interface Aws extends Faulty, AsyncDisposable {
  /** Variables that direct AWS's SDK here, with the one access key that the proxy accepts. */
  readonly variables: Readonly<Record<string, string>>;
  /** An error that moto does not support: every call returns it. */
  error: { readonly name: string; readonly message: string } | undefined;
  /** Secrets that must never appear: the secret access key and the session token. */
  readonly confidential: readonly string[];
}

/** Starts moto and the proxy. */
export async function startAws(): Promise<Aws> {
  const moto = spawn('python3', [fileURLToPath(new URL('moto-server.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const lines = createInterface({ input: moto.stdout });
  const { value: motoPort } = await lines[Symbol.asyncIterator]().next();
  const accessKeyId = 'AKIAWEBDISTTEST00000';
  const secretAccessKey = randomUUID();
  const sessionToken = randomUUID();

  const server = createServer((incoming, outgoing) => {
    const { error, fault } = aws;
    if (showFault(outgoing, fault)) return;
    const refusal = fault ? faults[fault] : unsigned(incoming, accessKeyId);
    if (refusal) refusal(outgoing);
    else if (error) say(outgoing, 400, error.name, {}, error.message);
    else incoming.pipe(forward(incoming, outgoing, Number(motoPort)));
  });
  const aws: Aws = {
    variables: {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${await listen(server)}`,
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    },
    confidential: [secretAccessKey, sessionToken],
    error: undefined,
    fault: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      moto.stdin.end();
      lines.close();
    },
  };
  return aws;
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse, port: number) {
  const { method, url, headers } = incoming;
  return request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
}

type Refuse = (outgoing: ServerResponse) => void;

/** The header of Signature Version 4; only the form of the signature is checked. */
function unsigned(incoming: IncomingMessage, accessKeyId: string): Refuse | undefined {
  const service = /^(TrentService|secretsmanager)\./.exec(String(incoming.headers['x-amz-target']))?.[1];
  const form =
    /^AWS4-HMAC-SHA256 Credential=(\w+)\/\d{8}\/[a-z0-9-]+\/(kms|secretsmanager)\/aws4_request, SignedHeaders=\S+, Signature=[0-9a-f]{64}$/;
  const [, keyId, signedFor] = form.exec(incoming.headers.authorization ?? '') ?? [];
  if (!keyId || !service || !incoming.headers['content-type']?.startsWith('application/x-amz-json-1.1'))
    return (outgoing) => say(outgoing, 400, 'IncompleteSignatureException');
  if (keyId !== accessKeyId) return (outgoing) => say(outgoing, 400, 'UnrecognizedClientException');
  const right = signedFor === (service === 'TrentService' ? 'kms' : 'secretsmanager');
  return right ? undefined : (outgoing) => say(outgoing, 403, 'SignatureDoesNotMatch');
}

const say = (
  outgoing: ServerResponse,
  status: number,
  type: string,
  headers = {},
  message = `The door says ${type}.`,
) =>
  outgoing
    .writeHead(status, { 'content-type': 'application/x-amz-json-1.1', ...headers })
    .end(JSON.stringify({ __type: type, message }));

const faults: Readonly<Record<VendorFault, Refuse>> = {
  denied: (outgoing) => say(outgoing, 400, 'AccessDeniedException'),
  throttled: (outgoing) => say(outgoing, 400, 'ThrottlingException', { 'retry-after': String(RETRY_AFTER_SECONDS) }),
  broken: (outgoing) => say(outgoing, 500, 'KMSInternalException'),
  malformed: (outgoing) => outgoing.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end('{}'),
  expired: (outgoing) => say(outgoing, 400, 'ExpiredTokenException'),
};
