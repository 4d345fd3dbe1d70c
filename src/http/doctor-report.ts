/** Reports to `webdist doctor`, and to no other caller, how its request reached this server (docs/doctor.md). */

import { hostname } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { PROOF_HEADER, RECEIVED_HEADER } from '../service/doctor-proof.ts';
import type { ServerDeps } from '../service/service.ts';

type Deps = Pick<ServerDeps, 'config' | 'isDoctor'>;

/** Adds the header to the responses of a scope, including refusals. */
export function reportToDoctor(scope: FastifyInstance, { config: { countryHeader }, isDoctor }: Deps): void {
  const machine = hostname();
  scope.addHook('onRequest', (request, reply, done) => {
    const { [PROOF_HEADER]: proof, 'x-forwarded-for': forwarded } = request.headers;
    if (typeof proof === 'string' && isDoctor(proof)) {
      const country = countryHeader && request.headers[countryHeader];
      reply.header(
        RECEIVED_HEADER,
        JSON.stringify({ peer: request.socket.remoteAddress, forwarded, country, machine }),
      );
    }
    done();
  });
}
