/**
 * The ways in which a service fails in tests: with its own error responses, or in ways that are the same for every
 * service.
 */

import type { ServerResponse } from 'node:http';

/** A stand-in answers each of these as its vendor does. */
export type VendorFault = 'denied' | 'throttled' | 'broken' | 'malformed' | 'expired';

/**
 * `slow`: never answers. `stalled`: sends headers, then nothing. `dropped`: closes the connection. `leaking`: a broken body
 * that contains a secret. `foreign404`, `foreign403`: what a proxy and a firewall answer in place of the service.
 */
export type Fault = VendorFault | 'slow' | 'stalled' | 'dropped' | 'leaking' | 'foreign404' | 'foreign403';

/** What a test can do with every stand-in. */
export interface Faulty {
  /** From now on every call to the service, except signing in, fails in this way; undefined ends it. */
  fault: Fault | undefined;
}

/** The seconds in the Retry-After of a throttling stand-in. */
export const RETRY_AFTER_SECONDS = 7;

/** What a `leaking` response contains: the beginning of a private key in PEM, which is not in use. */
export const LEAK = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLeakedLeakedLeaked';

/** Produces a fault that is the same for every service; returns false for one that each vendor reports in its own way. */
export function showFault(response: ServerResponse, fault: Fault | undefined): fault is Exclude<Fault, VendorFault> {
  const json = { 'content-type': 'application/json' };
  switch (fault) {
    case 'slow':
      return true;
    case 'stalled':
      response.writeHead(200, json).write('{');
      return true;
    case 'dropped':
      response.destroy();
      return true;
    case 'leaking':
      response.writeHead(200, json).end(`{"value": "-----BEGIN PRIVATE KEY-----\\n${LEAK}`);
      return true;
    case 'foreign404':
      response.writeHead(404, { 'content-type': 'text/html' }).end(`<html><h1>404 Not Found</h1>${LEAK}</html>`);
      return true;
    case 'foreign403':
      response.writeHead(403, json).end(JSON.stringify({ error: { code: 'blocked', message: LEAK }, code: LEAK }));
      return true;
    default:
      return false;
  }
}
