/**
 * Parsers for the values of options. For an invalid value they throw commander's error, which says what is expected
 * (exit 2).
 */

import { InvalidArgumentError } from 'commander';

export function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

export function wholeSeconds(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected whole seconds.');
  return Number(text);
}

export function webUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('Expected a URL such as https://example.com/camping.');
  return new URL(text);
}

/** Collects the values of an option that may be repeated. */
export const collected = (entry: string, before: readonly string[] = []) => [...before, entry];
