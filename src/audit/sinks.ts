/** Every kind of audit sink: its form, and how it is opened. */

import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sink } from './sink.ts';

/** What a kind of sink may need. */
export type SinkOptions = {
  /** The most that a file and its predecessor have together; 0 means no limit. */
  readonly maxFileBytes: number;
  /** Sent to a collector. May contain credentials. */
  readonly otlpHeaders: Readonly<Record<string, string>>;
};

type Kind = {
  readonly form: string;
  readonly isValid: (url: URL) => boolean;
  readonly open: (url: URL, options: SinkOptions) => Promise<Sink> | Sink;
};

const hasHost = ({ hostname, pathname, username }: URL) => hostname !== '' && /^\/?$/.test(pathname) && username === '';
const isCollector = ({ hostname, username }: URL) => hostname !== '' && username === '';
const stream = async (url: URL) => (await import('./syslog.ts')).openStreamSink(url);
const collector = async (url: URL, { otlpHeaders }: SinkOptions) =>
  (await import('./otlp.ts')).openOtlpSink(url, otlpHeaders);

const kinds: Readonly<Record<string, Kind>> = {
  'file:': {
    form: '/path, file:///path',
    isValid: ({ host, pathname }) => host === '' && pathname.length > 1,
    open: async (url, { maxFileBytes }) => (await import('./file.ts')).openFileSink(fileURLToPath(url), maxFileBytes),
  },
  'stdout:': {
    form: 'stdout:',
    isValid: ({ href }) => href === 'stdout:',
    open: async () => (await import('./stdout.ts')).openStdoutSink(),
  },
  'syslog+unix:': {
    form: 'syslog+unix:///path',
    isValid: ({ pathname }) => pathname.length > 1,
    open: async (url) => (await import('./syslog-local.ts')).openLocalSink(url),
  },
  'syslog+tcp:': { form: 'syslog+tcp://host:port', isValid: hasHost, open: stream },
  'syslog+udp:': {
    form: 'syslog+udp://host:port',
    isValid: hasHost,
    open: async (url) => (await import('./syslog.ts')).openDatagramSink(url),
  },
  'otlp+http:': { form: 'otlp+http://host:port/v1/logs', isValid: isCollector, open: collector },
  'otlp+https:': { form: 'otlp+https://host:port/v1/logs', isValid: isCollector, open: collector },
};

/** The forms, for messages and documentation. */
export const SINK_FORMS = Object.values(kinds)
  .map(({ form }) => form)
  .join(', ');

/** Returns the URL of a sink; a path becomes a `file:` URL. Undefined for any other text, such as `stdout` without its colon. */
export function sinkUrl(text: string): string | undefined {
  const url = /^[a-z][a-z+]*:/.test(text)
    ? text
    : `file://${encodeURI(resolve(text)).replace(/[?#]/g, encodeURIComponent)}`;
  if (url !== text && !/[./]/.test(text)) return undefined;
  if (!URL.canParse(url)) return undefined;
  const parsed = new URL(url);
  return kinds[parsed.protocol]?.isValid(parsed) ? parsed.href : undefined;
}

/** Opens the sink of a URL that `sinkUrl` returned. Throws `state_invalid` if a file cannot be written. */
export async function openSink(url: string, options: SinkOptions): Promise<Sink> {
  const parsed = new URL(url);
  const kind = kinds[parsed.protocol];
  if (!kind) throw new TypeError(`${url} is not the URL of an audit sink.`);
  return kind.open(parsed, options);
}
