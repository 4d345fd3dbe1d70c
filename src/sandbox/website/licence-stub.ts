/**
 * A licence server that only says yes, for the simulated device. A real one needs Apple's App License Delivery SDK
 * (docs/apple-facts.md §3.4).
 */

import type { FastifyInstance } from 'fastify';

/** Says in every answer that nothing here is a licence. */
const STUB = { 'x-webdist-sandbox': 'stub licence server: says yes to everything' };

const license = Buffer.from('not a licence: the sandbox only says yes').toString('base64');

/** Adds `POST /_sandbox/ald/license` and `…/renew`. */
export function addLicenceStub(server: FastifyInstance): void {
  server.post('/_sandbox/ald/license', (_, reply) => reply.headers(STUB).send({ license, unlicensedApps: [] }));
  server.post('/_sandbox/ald/renew', (_, reply) => reply.headers(STUB).send({ license, ineligibleLicenses: [] }));
}
