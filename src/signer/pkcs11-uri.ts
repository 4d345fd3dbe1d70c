/**
 * Parses PKCS#11 URIs (RFC 7512), which name the library, the token, the key and the PIN. No maintained parser for
 * JavaScript was found.
 */

import { WebdistError } from '../errors.ts';

/** The attributes that a token must have. An attribute that is not in the URI matches every token. */
type TokenMatch = {
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
};

/** A parsed URI; `slotId` is the number of the slot, `id` the bytes of CKA_ID, `object` the CKA_LABEL. */
export type Pkcs11Uri = {
  readonly match: TokenMatch;
  readonly slotId: number | undefined;
  readonly object: string | undefined;
  readonly id: Buffer | undefined;
  readonly pinValue: string | undefined;
  /** Path of a file. */
  readonly pinSource: string | undefined;
  /** Path or file name of the library, in the form that the dynamic loader accepts. */
  readonly module: string | undefined;
};

const PATH_NAMES = ['token', 'manufacturer', 'serial', 'model', 'slot-id', 'object', 'id', 'type'];
const QUERY_NAMES = ['pin-value', 'pin-source', 'module-path', 'module-name'];

/** Parses a URI. Throws `config_invalid`; the message names the attribute, never its value, which may be a PIN. */
export function parsePkcs11Uri(uri: string): Pkcs11Uri {
  const [, path, query] = /^pkcs11:([^?#]*)(?:\?([^#]*))?$/.exec(uri) ?? [];
  if (path === undefined) throw malformed('begins with pkcs11: and has no "#"');
  const found = new Map([
    ...attributes(path.split(';'), PATH_NAMES),
    ...attributes((query ?? '').split('&'), QUERY_NAMES),
  ]);
  const text = (name: string) => found.get(name)?.toString('utf8');
  const type = text('type');
  if (type !== undefined && type !== 'private') throw malformed('names a key with type=private, or leaves type out');
  if (found.has('pin-value') && found.has('pin-source')) throw malformed('has pin-value or pin-source, not both');
  const match = Object.fromEntries(
    PATH_NAMES.slice(0, 4).flatMap((name) => (found.has(name) ? [[name, text(name)]] : [])),
  );
  return {
    match,
    slotId: slotNumber(text('slot-id')),
    object: text('object'),
    id: found.get('id'),
    pinValue: text('pin-value'),
    pinSource: filePath(text('pin-source')),
    module: text('module-path') ?? libraryFile(text('module-name')),
  };
}

function attributes(parts: readonly string[], known: readonly string[]): [string, Buffer][] {
  const found = new Map<string, Buffer>();
  for (const part of parts.filter((one) => one !== '')) {
    const [, name, value] = /^([a-z-]+)=((?:[!-$&-~]|%[0-9A-Fa-f]{2})*)$/.exec(part) ?? [];
    if (name === undefined || value === undefined) throw malformed('is made of name=value, percent-encoded');
    if (!known.includes(name)) throw malformed(`may have ${known.join(', ')} here, not "${name}"`);
    if (found.has(name)) throw malformed(`has "${name}" once`);
    found.set(name, bytesOf(value));
  }
  return [...found];
}

/** Decodes to bytes, because an id may be any bytes, and decodeURIComponent decodes only text. */
const bytesOf = (value: string) =>
  Buffer.from(
    value.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );

function slotNumber(text: string | undefined): number | undefined {
  if (text !== undefined && !/^\d{1,15}$/.test(text)) throw malformed('has a decimal number as slot-id');
  return text === undefined ? undefined : Number(text);
}

/** RFC 7512 §2.4 leaves the forms of pin-source open. Here it is a path or a file: URI; commands are not run. */
function filePath(source: string | undefined): string | undefined {
  const path = source?.replace(/^file:(\/\/)?/, '');
  if (path !== undefined && !path.startsWith('/')) throw malformed('has pin-source=file:/path or pin-source=/path');
  return path;
}

/** A module-name does not have the prefix and suffix that the system uses (RFC 7512 §2.3). */
function libraryFile(name: string | undefined): string | undefined {
  if (name?.includes('/')) throw malformed('has a name without a path as module-name; use module-path for a path');
  return name && `lib${name}.so`;
}

const malformed = (expected: string) => new WebdistError('config_invalid', `A PKCS#11 URI ${expected} (RFC 7512).`);
