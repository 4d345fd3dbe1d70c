/**
 * The sandbox's own paths, under `/_sandbox`: requests, faults, device, packages, licences (docs/sandbox.md). They need no
 * credential, and faults do not apply to them.
 */

import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { appSeedSchema, seedApp } from './account.ts';
import { addCdn, type Cdn } from './apple/cdn.ts';
import { fileAt, newestOf } from './apple/packages.ts';
import { judge, judgeRequestSchema } from './device/judge.ts';
import { type Faults, faultSchema } from './faults.ts';
import type { openRequestLog } from './requests.ts';
import { type AccountApp, newDeviceState, type SandboxStore } from './state.ts';
import { addLicenceStub } from './website/licence-stub.ts';

/** The dependencies of the paths. `now` returns milliseconds since 1970. */
export type ControlDeps = {
  readonly store: SandboxStore;
  readonly cdn: Cdn;
  readonly faults: Faults;
  readonly requests: ReturnType<typeof openRequestLog>;
  readonly now: () => number;
  /**
   * Creates the distribution key of an app of the account if it has none. Returns the settings of a service for the
   * app.
   */
  readonly settingsOf: (app: AccountApp) => Readonly<Record<string, string>>;
};

/** Adds the paths to a server that passes request bodies as text. */
export function addControl(server: FastifyInstance, deps: ControlDeps): void {
  const { store, cdn, faults, requests, now } = deps;
  server.get('/_sandbox/requests', () => requests.list());
  server.delete('/_sandbox/requests', (_, reply) => {
    requests.clear();
    return reply.code(204).send();
  });

  server.get('/_sandbox/faults', () => faults.list);
  server.post('/_sandbox/faults', ({ body }, reply) => {
    const fault = parse(body, faultSchema, reply);
    if (!fault) return reply;
    faults.add(fault);
    return reply.code(201).send(fault);
  });
  server.delete('/_sandbox/faults', (_, reply) => {
    faults.clear();
    return reply.code(204).send();
  });

  server.post('/_sandbox/device', ({ body }, reply) => {
    const request = parse(body, judgeRequestSchema, reply);
    return request ? judge(request, store, now()) : reply;
  });
  server.delete('/_sandbox/device', (_, reply) => {
    store.change((draft) => {
      draft.device = newDeviceState();
    });
    return reply.code(204).send();
  });

  server.post('/_sandbox/apps', ({ body }, reply) => {
    const seed = parse(body, appSeedSchema, reply);
    if (!seed) return reply;
    const { app, isNew } = store.change((draft) => seedApp(draft, seed));
    return reply.code(isNew ? 201 : 200).send({ team: app.team, appleItemId: app.id, settings: deps.settingsOf(app) });
  });

  server.get<{ Params: { id: string; '*': string } }>('/_sandbox/packages/:id/*', ({ params }, reply) => {
    const found = newestOf(store.state.packages, params.id);
    const bytes = found && fileAt(found, store.state.packages, params['*']);
    if (!bytes) return problem(reply, 404, 'No package has this file.');
    const isJson = params['*'].endsWith('.json');
    return reply.type(isJson ? 'application/json; charset=utf-8' : 'application/octet-stream').send(bytes);
  });
  addCdn(server, { store, cdn, now });
  addLicenceStub(server);

  server.all('/_sandbox/*', (_, reply) => problem(reply, 404, 'The sandbox does not have this path or method.'));
}

/** Reads a JSON body; for an invalid one, sends 400 and returns undefined. */
function parse<T>(body: unknown, schema: z.ZodType<T>, reply: FastifyReply): T | undefined {
  let content: unknown;
  try {
    content = JSON.parse(typeof body === 'string' ? body : '');
  } catch {
    problem(reply, 400, 'The body is not JSON.');
    return undefined;
  }
  const result = schema.safeParse(content);
  if (!result.success) problem(reply, 400, z.prettifyError(result.error));
  return result.data;
}

const problem = (reply: FastifyReply, status: number, detail: string) =>
  reply.code(status).type('application/problem+json').send({ status, detail });
