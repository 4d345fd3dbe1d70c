/**
 * A licence server that grants every request, for the simulated device. A real one needs Apple's App License Delivery SDK
 * (docs/apple-facts.md §3.4).
 */

import type { FastifyInstance } from 'fastify';

/** Marks every answer as the answer of a stub. */
const STUB = { 'x-webdist-sandbox': 'stub licence server: grants every request' };

const license = Buffer.from('not a licence: from the stub in the sandbox').toString('base64');

/** Adds `POST /_sandbox/ald/license` and `…/renew`. */
export function addLicenceStub(server: FastifyInstance): void {
  server.post('/_sandbox/ald/license', (_, reply) => reply.headers(STUB).send({ license, unlicensedApps: [] }));
  server.post('/_sandbox/ald/renew', (_, reply) => reply.headers(STUB).send({ license, ineligibleLicenses: [] }));
}
