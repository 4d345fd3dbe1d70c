/** Forms of values that the environment and the file of `WEBDIST_CONFIG` share. No message holds a value. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { APPLE_ID, isAppleId } from '../apple-id.ts';
import { SINK_FORMS, sinkUrl } from '../audit/sinks.ts';
import { isLoopback, withoutBrackets } from '../host.ts';
import { ESCAPING_HINT, isConnectionUrl } from './connection-url.ts';

/** One line of text. Control characters are refused, because they only get into a value by mistake. */
export const line = z.string().regex(/^\P{Cc}*$/u, 'expected one line of text, without control characters');

const labels = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** A bare host name in A-label form, such as `get.example.com`; upper case is converted. */
export const domainName = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(
    (text) => labels.test(text),
    'expected a bare domain, such as example.com: no scheme, port, path or trailing dot; A-labels for an IDN',
  )
  .meta({ pattern: '^[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$' });

/** AppleItemID or AppleVersionID. */
export const appleId = z
  .string()
  .refine(isAppleId, 'expected a decimal number, such as 6473805491')
  .meta({ pattern: APPLE_ID.source });

/** A bundle id, such as `com.example.camping`. */
export const bundleId = z
  .string()
  .regex(/^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/, 'expected a bundle id, such as com.example.camping')
  .max(155, 'a bundle id has at most 155 characters');

/**
 * A host name without a dot belongs to a container network or a cluster, because no host on the internet has such a
 * name.
 */
const isNear = (host: string) => isLoopback(host) || /^[a-z][a-z0-9-]*$/.test(host);

/**
 * Matches an absolute URL with its host, without a fragment, as RFC 3986 writes it. `new URL` would also accept and repair
 * `https:///example.com`, backslashes and characters that must be percent-encoded. A device reads those as a different
 * URL, or refuses them (docs/apple-facts.md §2.7).
 */
const LABEL = '[a-z0-9]([a-z0-9-]*[a-z0-9])?';
const WRITTEN_OUT = new RegExp(
  `^https?://(${LABEL}([.]${LABEL})*[.]?|\\[[0-9a-f:.]+\\])(:\\d+)?([/?]([\\w.~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?$`,
  'i',
);

function isWebUrl(text: string, mayBePlain = isLoopback): boolean {
  if (!WRITTEN_OUT.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username || url.password) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && mayBePlain(url.hostname));
}

/** An absolute https URL without fragment or credentials; http only on this machine. */
export const absoluteUrl = z
  .string()
  .refine(isWebUrl, 'expected an absolute https URL, such as https://example.com/adp/camping')
  .meta({ pattern: '^[Hh][Tt][Tt][Pp][Ss]?://[^/\\s]' });

/** The same, for a URL that devices get: as they all read it, without dot segments, upper case and the default port (§2.7). */
export const linkedUrl = absoluteUrl.transform((text) => new URL(text).href);

/**
 * A URL of a server that only this service calls. http is also allowed within a container network, for a host name
 * without a dot.
 */
export const serverUrl = z
  .string()
  .refine(
    (text) => isWebUrl(text, isNear),
    'expected an absolute https URL, such as https://api.appstoreconnect.apple.com',
  );

/** Where the responses to well-known challenges are verified; all of these use the same protocol. */
const challengeServers: Readonly<Record<string, string>> = {
  // https://developers.cloudflare.com/turnstile/get-started/server-side-validation/
  turnstile: 'https://challenges.cloudflare.com/turnstile/v0/siteverify',
  // https://docs.hcaptcha.com/#verify-the-user-response-server-side
  hcaptcha: 'https://api.hcaptcha.com/siteverify',
};

/** A bot challenge, by name or by the URL of its server; the value is that URL. */
export const challenge = z
  .string()
  .transform((text) => challengeServers[text] ?? text)
  .refine(
    (text) => isWebUrl(text, isNear),
    `expected ${Object.keys(challengeServers).join(', ')} or an absolute https URL`,
  );

/** A URL that only this service reads, or a file on this machine. */
export const readableUrl = z
  .string()
  .refine(
    (text) => isWebUrl(text, isNear) || (text.startsWith('file:///') && URL.canParse(text)),
    'expected an absolute https URL or file:///path',
  )
  .meta({ pattern: '^([Hh][Tt][Tt][Pp][Ss]?://[^/\\s]|file:///)' });

/** Where audit lines go; the value is its URL. */
export const auditSink = z.string().transform((text, context) => {
  const url = sinkUrl(text);
  if (url === undefined) context.addIssue(`expected ${SINK_FORMS}`);
  return url ?? '';
});

/** A Redis server; `rediss:` is TLS. */
export const redisUrl = z
  .string()
  .regex(/^rediss?:\/\/./, { message: 'expected redis://… or rediss://…', abort: true })
  .refine((text) => isConnectionUrl(text) && URL.canParse(text) && new URL(text).hostname !== '', ESCAPING_HINT);

/** An OpenTelemetry collector (OpenTelemetry specification, "OTLP Exporter Configuration"). */
export const collectorUrl = z.string().refine((text) => {
  if (!URL.canParse(text) || /\s/.test(text)) return false;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && !url.username && !url.password;
}, 'expected the http or https URL of a collector, such as http://localhost:4318, without credentials');

/** The origin of a page, such as `https://shop.example.com`. */
export const origin = z
  .string()
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    'expected origins, such as https://shop.example.com, without a path or a trailing slash',
  );

/** An address to listen on. The value is an IP address without brackets, or a host name. */
export const listenAddress = z
  .string()
  .transform(withoutBrackets)
  .refine(
    (text) => isIP(text) !== 0 || /^(?=.*[a-z])[\w.-]+$/i.test(text),
    'expected an IP address or a host name, such as 127.0.0.1, :: or localhost, without scheme and port',
  );

/** An IP address or CIDR range of proxies whose headers are trusted. */
export const proxyRange = z
  .string()
  .refine(isAddressRange, {
    message:
      'expected addresses or CIDR ranges of your proxies; a number or "true" would let visitors choose their own address',
    abort: true,
  })
  .refine(
    (text) => !isEveryAddress(text),
    'this range trusts every address, so visitors could choose their own address with X-Forwarded-For; list only your proxies',
  );

function isAddressRange(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

/** True for `0.0.0.0/0`, `::/0` and other spellings of them. `::ffff:0:0/96` is every IPv4 address. */
function isEveryAddress(text: string): boolean {
  const [address = '', prefix] = text.split('/');
  if (prefix === undefined) return false;
  if (Number(prefix) === 0) return true;
  const isMapped = isIP(address) === 6 && /^\[::ffff(:[\da-f]+){2}\]$/.test(new URL(`http://[${address}]`).hostname);
  return isMapped && Number(prefix) <= 96;
}

/**
 * A server-to-server key: its name, the SHA-256 of the key, and optionally the install tokens per minute that it may
 * request, and the last day on which it is valid (UTC).
 */
export const apiKey = z
  .string()
  .regex(
    /^[A-Za-z0-9_.-]{1,64}:[0-9a-f]{64}(:([1-9]\d{0,8})?(:\d{4}-\d{2}-\d{2})?)?$/,
    'expected name:sha256hex[:tokens-a-minute[:end-date]], separated by commas (printf %s "$KEY" | sha256sum)',
  )
  .refine((text) => {
    const [, , , endDate] = text.split(':');
    return endDate === undefined || isDate(endDate);
  }, 'expected an end date that exists, such as 2027-12-31');

/** A calendar date that exists, `YYYY-MM-DD`. */
export const isDate = (text: string) => {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
};

/** Items of a form, separated by commas or white space. */
export const list = (item: z.ZodType<string, string>) =>
  z
    .string()
    .transform((text) => text.split(/[\s,]+/).filter(Boolean))
    .pipe(z.array(item));

/** A whole number in decimal digits. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`);

/** A number from 0 to 1. */
export const ratio = z
  .string()
  .regex(/^(0|1|0?\.\d{1,12}|[01]\.\d{1,12})$/, 'expected a number from 0 to 1')
  .transform(Number)
  .refine((value) => value <= 1, 'expected a number from 0 to 1');

/** The longest useful interval between two checks for updates, a year. The OS never checks more than once a day. */
export const MAX_POLLING_HOURS = 8760;

/** One of the words given. */
export const oneOf = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z.enum(values, `expected one of: ${values.join(', ')}`);

/** The same in upper or lower case, as OpenTelemetry's specification requires for its variables. */
export const oneOfAnyCase = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z
    .string()
    .transform((text) => text.toLowerCase())
    .pipe(oneOf(...values));
