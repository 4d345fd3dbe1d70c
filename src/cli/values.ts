/** Values that options take, read by commander: each gives what it is or says what is expected (exit 2). */

import { InvalidArgumentError } from 'commander';

export function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('Expected is a port, 0 to 65535.');
  return port;
}

export function wholeSeconds(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected are whole seconds.');
  return Number(text);
}

export function webAddress(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('Expected is an address such as https://example.com/camping.');
  return new URL(text);
}

/** For an option that may be repeated. */
export const collected = (entry: string, before: readonly string[] = []) => [...before, entry];
