/**
 * Parsers for the values of options. For an invalid value they throw commander's error, which says what is expected
 * (exit 2).
 */

import { InvalidArgumentError } from 'commander';
import { isCountryCode } from '../install-token/country-codes.ts';

/** A day; no token lives longer than an hour. */
const MAX_OVERLAP_SECONDS = 86_400;

export function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

export function wholeSeconds(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected whole seconds.');
  return Number(text);
}

export function secondsOfOverlap(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,5}$/.test(text) || seconds > MAX_OVERLAP_SECONDS)
    throw new InvalidArgumentError(`Expected whole seconds, 0 to ${MAX_OVERLAP_SECONDS}.`);
  return seconds;
}

export function webUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('Expected a URL such as https://example.com/camping.');
  return new URL(text);
}

/** A URL, as it was written. */
export function webAddress(text: string): string {
  webUrl(text);
  return text;
}

export const hostAndPort = textLike(/^[^\s/@]+:\d{1,5}$/, 'Expected a host and a port, such as 192.0.2.7:443.');
export const wholeNumber = textLike(/^[1-9]\d{0,8}$/, 'Expected a whole number.');
export const dateText = textLike(/^\d{4}-\d{2}-\d{2}$/, 'Expected a date such as 2027-12-31.');

export function platformName(text: string): 'iOS' | 'iPadOS' {
  if (text !== 'iOS' && text !== 'iPadOS') throw new InvalidArgumentError('Expected iOS or iPadOS.');
  return text;
}

export function dottedVersion(text: string): string {
  if (!/^\d{1,3}(\.\d{1,3}){0,2}$/.test(text)) throw new InvalidArgumentError('Expected a version such as 17.5.');
  return text;
}

export function countryCode(text: string): string {
  if (!isCountryCode(text)) throw new InvalidArgumentError('Expected an ISO 3166-1 code in upper case, such as IE.');
  return text;
}

/** A parser that returns the text as it was written. */
function textLike(form: RegExp, expected: string): (text: string) => string {
  return (text) => {
    if (!form.test(text)) throw new InvalidArgumentError(expected);
    return text;
  };
}

/** Collects the values of an option that may be repeated. */
export const collected = (entry: string, before: readonly string[] = []) => [...before, entry];
