/**
 * Reads a P-256 private key from a secret, in the forms that are common in practice: PKCS#8 or SEC1 PEM
 * (docs/apple-facts.md §6.2), possibly with literal `\n`, quotes or base64 around it. Reports what was repaired, but
 * never the text.
 */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import { decodeSecret, isDerSequence } from '../cloud/text.ts';
import { WebdistError } from '../errors.ts';
import { isP256 } from '../jws.ts';
import { derToPem, jwkToPem } from './key-formats.ts';

/** A private key, with a list of what was repaired in its text, for the log. */
export type PrivateKeyText = { readonly key: KeyObject; readonly repairs: readonly string[] };

const CONVERT = 'Convert it with: openssl pkcs8 -topk8 -nocrypt -in key.pem -out key-pkcs8.pem';
const CREATE = 'Create a distribution key with: webdist keygen --out key.pem';

/** Reads a PEM. Throws `key_invalid`, whose message says what the text is instead and how to fix it. */
export function readPrivateKey(text: string): PrivateKeyText {
  const { pem, repairs } = repair(text);
  const { label, body } = findBlock(pem);
  const key = parse(label, body);
  if (!isP256(key)) throw invalid(`The private key is ${nameOf(key)}, not ECDSA on the curve P-256.`, CREATE);
  return { key, repairs };
}

function repair(text: string): { pem: string; repairs: string[] } {
  const repairs: string[] = [];
  let pem = text;
  const apply = (what: string, repaired: string) => {
    if (repaired !== pem) repairs.push(what);
    pem = repaired;
  };
  apply('removed a byte order mark', pem.replace(/^\uFEFF/, ''));
  pem = pem.trim();
  // The text in base64 may itself contain quotes, literal \n or base64, so each layer is repaired.
  for (let layer = 0; layer <= MAX_BASE64_LAYERS; layer++) {
    apply('removed quotes around the key', pem.replace(/^(["'])([\s\S]*)\1$/, '$2').trim());
    if (pem.startsWith('{')) apply('read a JWK', jwkToPem(pem).trim());
    apply('turned literal \\n into line breaks', pem.replace(/(?:\\r)?\\n/g, '\n').trim());
    if (pem.includes('-----') || layer === MAX_BASE64_LAYERS) break;
    const decoded = decodeBase64(pem);
    if (!decoded) break;
    if (isDerSequence(decoded)) apply('read DER', derToPem(decoded).trim());
    else apply(DECODED_BASE64, decodeSecret(decoded).trim());
  }
  if (/-----BEGIN [^\n\r]*-----[ \t]*[A-Za-z0-9+/=]/.test(pem)) repairs.push('restored missing line breaks');
  return { pem, repairs };
}

export const DECODED_BASE64 = 'decoded base64 around the key';

/** The key may be encoded twice, by accident. More layers than that are not accidental. */
const MAX_BASE64_LAYERS = 2;

/** Decodes base64 or base64url. Returns undefined if the text is neither, or if the bytes are not a form of a key. */
function decodeBase64(text: string): Buffer | undefined {
  if (!BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const inner = decodeSecret(bytes).trim();
  return isDerSequence(bytes) || inner.includes('-----BEGIN') || /^[{"']/.test(inner) || BASE64.test(inner)
    ? bytes
    : undefined;
}

const BASE64 = /^[A-Za-z0-9+/=_\s-]{40,}$/;

function findBlock(pem: string): { label: string; body: string } {
  const blocks = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g)]
    .map((match) => ({ label: match[1] ?? '', body: match[2] ?? '' }))
    .filter((block) => block.label !== 'EC PARAMETERS');
  const keys = blocks.filter((block) => block.label.endsWith('PRIVATE KEY'));
  if (keys.length > 1) throw invalid('It contains more than one private key.', 'Keep only the one to use.');
  const block = keys[0] ?? blocks[0];
  if (!block) {
    const cut = /-----BEGIN (?!EC PARAMETERS)/.test(pem)
      ? 'The PEM block has no matching END line.'
      : 'It contains no PEM block.';
    throw invalid(cut, 'Expected a block that begins with -----BEGIN PRIVATE KEY-----.');
  }
  return block;
}

function parse(label: string, body: string): KeyObject {
  if (label === 'ENCRYPTED PRIVATE KEY' || /ENCRYPTED/.test(body))
    throw invalid('The private key is encrypted with a passphrase.', CONVERT);
  if (label === 'PUBLIC KEY' || label === 'CERTIFICATE')
    throw invalid(`It is a ${label.toLowerCase()}, not a private key.`, 'Use the private half that belongs to it.');
  if (label !== 'PRIVATE KEY' && label !== 'EC PRIVATE KEY')
    throw invalid(`A block with the label ${label} is not supported.`, CREATE);
  const der = Buffer.from(body.replace(/\s+/g, ''), 'base64');
  try {
    return createPrivateKey({ key: der, format: 'der', type: label === 'PRIVATE KEY' ? 'pkcs8' : 'sec1' });
  } catch {
    // OpenSSL's errors can contain bytes of the key, so they are not kept as the cause.
    throw invalid(`The ${label} block is damaged: it contains no readable key.`, 'Copy the whole file again.');
  }
}

function nameOf(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return curve ? `on the curve ${curve}` : `of the type ${key.asymmetricKeyType ?? 'unknown'}`;
}

const invalid = (detail: string, hint: string) => new WebdistError('key_invalid', detail, { hint });
