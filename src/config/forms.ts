/** The forms of single settings that the environment and the file of `WEBDIST_CONFIG` share. Messages never hold a value. */

import { z } from 'zod';

const labels = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** A bare host name in A-label form, such as `get.example.com`; upper case is lowered. */
export const domainName = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(
    (text) => labels.test(text),
    'expected a bare domain such as example.com: no scheme, port, path or trailing dot, A-labels for IDN',
  );

const MAX_UINT64 = 18_446_744_073_709_551_615n;

/** AppleItemID or AppleVersionID: an unsigned 64-bit integer as decimal string (docs/apple-facts.md §1.3). */
export const appleId = z
  .string()
  .refine(
    (text) => /^[1-9]\d{0,19}$/.test(text) && BigInt(text) <= MAX_UINT64,
    'expected a decimal number such as 6473805491',
  );

/** A bundle id, such as `com.example.camping`. */
export const bundleId = z
  .string()
  .regex(/^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/, 'expected a bundle id such as com.example.camping')
  .max(155, 'a bundle id has at most 155 characters');

const isLoopback = (host: string) => ['localhost', '127.0.0.1', '[::1]'].includes(host);

/** A host name without a dot is one of a container network or a cluster: the internet has none. */
const isNear = (host: string) => isLoopback(host) || /^[a-z][a-z0-9-]*$/.test(host);

function isWebAddress(text: string, mayBePlain = isLoopback): boolean {
  if (!URL.canParse(text) || /\s/.test(text)) return false;
  const url = new URL(text);
  if (url.username || url.password || url.hash) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && mayBePlain(url.hostname));
}

/** An absolute https address without fragment or credentials; http only on this machine. */
export const absoluteUrl = z
  .string()
  .refine(isWebAddress, 'expected an absolute https address, such as https://example.com/adp/camping');

/** The same, for what only this service asks: http also within a container network, by a name without a dot. */
export const serverUrl = z
  .string()
  .refine(
    (text) => isWebAddress(text, isNear),
    'expected an absolute https address, such as https://api.appstoreconnect.apple.com',
  );

/** An address that only this service reads, or a file of this machine. */
export const readableUrl = z
  .string()
  .refine(
    (text) => isWebAddress(text, isNear) || (text.startsWith('file:///') && URL.canParse(text)),
    'expected an absolute https address or file:///path',
  );

const schemes = [
  'env://',
  'file:///',
  'vault+kv://',
  'hashivault://',
  'awssecrets://',
  'awskms://',
  'gcpsecrets://',
  'gcpkms://',
  'azuresecrets://',
  'azurekms://',
  'pkcs11:',
];

/** One or more key locators, separated by spaces (contract §4). */
export const locators = z
  .string()
  .transform((text) => text.trim().split(/\s+/))
  .pipe(
    z.array(
      z.string().refine((text) => schemes.some((scheme) => text.startsWith(scheme) && text.length > scheme.length), {
        message: `expected a locator: ${schemes.join('…, ')}… (a PEM goes into a file or another variable, named by file:///path or env://NAME)`,
      }),
    ),
  )
  .refine((all) => new Set(all).size === all.length, 'the same locator is given twice');

/** A whole number in decimal digits. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`);

export const oneOf = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z.enum(values, `expected one of: ${values.join(', ')}`);
