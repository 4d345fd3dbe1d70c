/** The PEM reader: every form it accepts, every repair and several at once, every refusal, and random input. */

import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { decodeSecret } from '../../src/cloud/text.ts';
import { isWebdistError } from '../../src/errors.ts';
import { publicKeyPem, readPublicKey, spki } from '../../src/jws.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { readPrivateKey } from '../../src/signer/pem.ts';

const withoutOpenssl = spawnSync('openssl', ['version']).error ? 'openssl is not installed' : false;
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject, type: 'pkcs8' | 'sec1' | 'spki') => key.export({ format: 'pem', type }).toString();
const block = (label: string, body: string) => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;

const pkcs8 = pem(privateKey, 'pkcs8');
const sec1 = pem(privateKey, 'sec1');
/** What `openssl ecparam -genkey` writes without -noout: the OID of P-256 in front. */
const parameters = block('EC PARAMETERS', Buffer.from('06082a8648ce3d030107', 'hex').toString('base64'));

const holds = (text: string, repairs: readonly string[] = []) => {
  const read = readPrivateKey(text);
  t.equal(spki(createPublicKey(read.key)), spki(publicKey));
  t.same(read.repairs, repairs);
};

const crlf = (text: string) => text.replaceAll('\n', '\r\n');

t.test('forms that need no repair', async () => {
  for (const text of [pkcs8, sec1, parameters + sec1]) {
    holds(text);
    holds(crlf(text));
    holds(text.trimEnd());
    holds(`\n\n  ${text}  \n`);
  }
  const oneLine = sec1.replace(/(?<![-])\n(?!-)/g, '');
  t.equal(oneLine.trim().split('\n').length, 3);
  holds(oneLine);
  holds(pkcs8 + pem(publicKey, 'spki'), []);
});

const literal = (text: string) => text.replaceAll('\n', '\\n');
const quoted = (text: string) => `"${text}"`;
const base64 = (text: string) => Buffer.from(text).toString('base64');
const bom = (text: string) => `\uFEFF${text}`;
const NEWLINES = 'turned literal \\n into line breaks';
const QUOTES = 'removed quotes around the key';
const BASE64 = 'decoded base64 around the key';
const BREAKS = 'restored missing line breaks';

t.test('repairs', async () => {
  for (const text of [pkcs8, sec1, parameters + sec1]) {
    holds(literal(text), [NEWLINES]);
    holds(crlf(text).replaceAll('\r', '\\r').replaceAll('\n', '\\n'), [NEWLINES]);
    holds(quoted(text), [QUOTES]);
    holds(`'${text}'`, [QUOTES]);
    holds(base64(text), [BASE64]);
    holds(base64(text).replace(/.{76}/g, '$&\n'), [BASE64]);
    holds(Buffer.from(text).toString('base64url'), [BASE64]);
    holds(bom(text), ['removed a byte order mark']);
    holds(text.replaceAll('\n', ''), [BREAKS]);
    holds(text.replaceAll('\n', ' '), [BREAKS]);
  }
});

t.test('several repairs at once', async () => {
  for (const text of [pkcs8, sec1, parameters + sec1]) {
    holds(quoted(literal(text)), [QUOTES, NEWLINES]);
    holds(JSON.stringify(text), [QUOTES, NEWLINES]);
    holds(base64(literal(text)), [BASE64, NEWLINES]);
    holds(base64(quoted(literal(text))), [BASE64, QUOTES, NEWLINES]);
    holds(quoted(base64(literal(text))), [QUOTES, BASE64, NEWLINES]);
    holds(quoted(base64(quoted(literal(text)))), [QUOTES, BASE64, QUOTES, NEWLINES]);
    holds(bom(quoted(literal(text))), ['removed a byte order mark', QUOTES, NEWLINES]);
    holds(quoted(text.replaceAll('\n', '')), [QUOTES, BREAKS]);
    holds(base64(crlf(text)), [BASE64]);
  }
});

const der = (key: KeyObject, type: 'pkcs8' | 'sec1') => key.export({ format: 'der', type });
const utf16 = (text: string) => Buffer.from(`\uFEFF${text}`, 'utf16le');

t.test('other forms of the same key: DER, JWK, UTF-16, base64 twice', async () => {
  const jwk = JSON.stringify(privateKey.export({ format: 'jwk' }));
  for (const type of ['pkcs8', 'sec1'] as const) {
    holds(der(privateKey, type).toString('base64'), ['read DER']);
    holds(base64(der(privateKey, type).toString('base64')), [BASE64, 'read DER']);
    holds(decodeSecret(der(privateKey, type)), ['read DER']);
  }
  holds(jwk, ['read a JWK']);
  holds(JSON.stringify(JSON.parse(jwk), null, 2), ['read a JWK']);
  holds(base64(jwk), [BASE64, 'read a JWK']);
  for (const text of [pkcs8, sec1]) {
    holds(base64(base64(text)), [BASE64, BASE64]);
    holds(base64(quoted(base64(text))), [BASE64, QUOTES, BASE64]);
    holds(decodeSecret(utf16(text)), ['removed a byte order mark']);
    holds(decodeSecret(Buffer.from(text, 'utf16le')), []);
    holds(decodeSecret(Buffer.from(text, 'utf16le').swap16()), []);
    holds(utf16(text).toString('base64'), [BASE64]);
  }
});

t.test('one key, whatever its encoding', { skip: withoutOpenssl }, async (t) => {
  const folder = t.testdir({ 'key.pem': pkcs8 });
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' }).toString();
  const encodings = [
    ['-ec_param_enc', 'explicit'],
    ['-ec_conv_form', 'compressed'],
    ['-ec_conv_form', 'hybrid'],
    ['-ec_param_enc', 'explicit', '-ec_conv_form', 'compressed'],
  ];
  for (const encoding of encodings) {
    const name = encoding.join(' ');
    const { signer } = openLocalSigner(openssl('pkey', '-in', 'key.pem', ...encoding), 'file');
    t.equal(spki(signer.publicKey), spki(publicKey), `private half, ${name}`);
    t.equal(
      publicKeyPem(signer.publicKey),
      pem(publicKey, 'spki'),
      'Apple is sent a named curve and an uncompressed point',
    );
    const half = openssl('pkey', '-in', 'key.pem', '-pubout', ...encoding);
    t.equal(spki(readPublicKey(half)), spki(publicKey), `public half, ${name}`);
  }
});

const passphrase = randomBytes(8).toString('hex');
const encrypted = { format: 'pem', cipher: 'aes-256-cbc', passphrase } as const;
const certificate = block('CERTIFICATE', randomBytes(300).toString('base64'));
const other = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey;
const damaged = (text: string) => text.replace(/\n.{8}/, '\nAAAAAAAA');

/** The outer structure of a PKCS#12 file: PFX ::= SEQUENCE { version INTEGER 3, … } (RFC 7292 §4). */
function pkcs12(): Buffer {
  const content = Buffer.concat([Buffer.from('020103', 'hex'), Buffer.from([0x04, 60]), randomBytes(60)]);
  return Buffer.concat([Buffer.from([0x30, content.length]), content]);
}

const refusals: Record<string, [text: string, message: RegExp]> = {
  empty: ['', /no PEM block/],
  'only blanks': [' \n ', /no PEM block/],
  'no PEM': ['hunter2', /no PEM block/],
  'base64 of no PEM': [base64('hunter2'), /no PEM block/],
  'a public key': [pem(publicKey, 'spki'), /a public key, not a private key/],
  'a certificate': [certificate, /a certificate, not a private key/],
  'encrypted PKCS#8': [privateKey.export({ ...encrypted, type: 'pkcs8' }).toString(), /encrypted.*openssl pkcs8/],
  'encrypted SEC1': [privateKey.export({ ...encrypted, type: 'sec1' }).toString(), /encrypted.*openssl pkcs8/],
  'RSA in PKCS#8': [pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, 'pkcs8'), /of the type rsa/],
  'RSA in PKCS#1': [block('RSA PRIVATE KEY', randomBytes(300).toString('base64')), /RSA PRIVATE KEY is not supported/],
  'P-384': [pem(other('P-384'), 'pkcs8'), /secp384r1.*P-256/],
  'P-521 in SEC1': [pem(other('P-521'), 'sec1'), /secp521r1.*P-256/],
  secp256k1: [pem(other('secp256k1'), 'sec1'), /secp256k1.*P-256/],
  Ed25519: [pem(generateKeyPairSync('ed25519').privateKey, 'pkcs8'), /ed25519/],
  'two keys': [pkcs8 + sec1, /more than one private key/],
  'cut off': [pkcs8.slice(0, 120), /no matching END line/],
  'another END': [pkcs8.replace('END PRIVATE', 'END EC PRIVATE'), /no matching END line/],
  'an empty block': [block('PRIVATE KEY', ''), /damaged/],
  'PKCS#8 damaged': [damaged(pkcs8), /damaged/],
  'SEC1 damaged': [damaged(sec1), /damaged/],
  'the wrong label': [sec1.replaceAll('EC PRIVATE', 'PRIVATE'), /damaged/],
  'PKCS#12': [pkcs12().toString('base64'), /PKCS#12 file.*openssl pkcs12/],
  'a JWK of a public key': [JSON.stringify(publicKey.export({ format: 'jwk' })), /a JWK without its private half/],
  'a JWK on P-384': [JSON.stringify(other('P-384').export({ format: 'jwk' })), /secp384r1.*P-256/],
  'a set of JWKs': [JSON.stringify({ keys: [privateKey.export({ format: 'jwk' })] }), /a set of JWKs/],
  'a damaged JWK': [JSON.stringify({ ...privateKey.export({ format: 'jwk' }), x: 'AAAA' }), /JWK is damaged/],
  'cut off JSON': [JSON.stringify(privateKey.export({ format: 'jwk' })).slice(0, 90), /not JSON/],
  'credentials of Google': [JSON.stringify({ type: 'service_account', private_key: pkcs8 }), /service account/],
  'DER of a public key': [
    publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    /a public key, not a private/,
  ],
  'encrypted DER': [
    privateKey.export({ format: 'der', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase }).toString('base64'),
    /encrypted/,
  ],
  'parameters alone': [parameters, /Expected a block that begins with -----BEGIN PRIVATE KEY/],
};

/** Pieces of the body that are too long to occur by chance: key material. */
const material = (text: string) => text.match(/[A-Za-z0-9+/]{12,}/g) ?? [];

for (const [name, [text, message]] of Object.entries(refusals))
  t.test(`refused: ${name}`, async (t) => {
    const error = thrown(text);
    t.match(error, { code: 'key_invalid', message });
    const shown = inspect(error, { depth: 10, showHidden: true });
    for (const run of material(text.replace(/-----[^-]+-----/g, ''))) t.notOk(shown.includes(run), 'shows the key');
  });

function thrown(text: string): unknown {
  try {
    readPrivateKey(text);
  } catch (error) {
    return error;
  }
  return undefined;
}

/** A key's text with pieces removed, repeated or overwritten, and with common wrappers around it. */
const mangled = fc
  .tuple(
    fc.constantFrom(pkcs8, sec1, parameters + sec1),
    fc.array(fc.tuple(fc.nat(400), fc.nat(40), fc.string({ maxLength: 12, unit: 'binary' })), { maxLength: 4 }),
    fc.array(fc.constantFrom(literal, quoted, base64, bom, crlf), { maxLength: 3 }),
  )
  .map(([text, cuts, wraps]) => {
    const cut = cuts.reduce((rest, [at, length, put]) => rest.slice(0, at) + put + rest.slice(at + length), text);
    return wraps.reduce((inner, wrap) => wrap(inner), cut);
  });

const randomDer = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const blocks = fc
  .tuple(fc.constantFrom('PRIVATE KEY', 'EC PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'EC PARAMETERS', 'X'), randomDer)
  .map(([label, body]) => block(label, body));

t.test('random input is refused as a key, and never shown', async (t) => {
  const scalar = Buffer.from(String(createPrivateKey(pkcs8).export({ format: 'jwk' }).d), 'base64url');
  const secrets = [
    scalar.toString('base64'),
    scalar.toString('hex'),
    ...material(pkcs8).slice(1),
    ...material(sec1).slice(1),
  ];
  const property = fc.property(fc.oneof(mangled, blocks, fc.string({ unit: 'binary' })), (text) => {
    const error = thrown(text);
    if (error === undefined) return;
    if (!isWebdistError(error) || error.code !== 'key_invalid') throw error;
    const shown = inspect(error, { depth: 10 });
    for (const secret of secrets) if (secret.length >= 12 && shown.includes(secret)) throw new Error('shows the key');
  });
  fc.assert(property, { numRuns: 2000 });
  t.pass();
});
