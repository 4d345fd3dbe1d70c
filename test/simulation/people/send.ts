/** Sends requests to the replicas, and shows every answer to the invariants. */

import { DOMAIN, type Fleet, type Replica } from '../fleet.ts';
import { examine } from '../invariants.ts';
import { request } from '../world/network.ts';
import { trueTime, wait } from '../world/scheduler.ts';

export type Sent = {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly body?: object;
  /** Instead of a body: the fields of a form. */
  readonly form?: object;
  readonly headers?: object;
};
export type Answered = {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly cookie: string | undefined;
};

/** How long a browser or a server waits for an answer. */
const PATIENCE_MS = 10_000;

/** Sends a request to a replica. Returns undefined if there was no answer. `served` gets the answer before the network. */
export async function send(
  fleet: Fleet,
  replica: Replica,
  sent: Sent,
  served: (answer: Answered, receivedAt: number) => void = () => undefined,
): Promise<Answered | undefined> {
  const answering = request({ name: replica.name, machine: replica.machine }, async () => {
    const { server } = replica;
    const receivedAt = trueTime();
    if (!server) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const { method, url, body, form, headers } = sent;
    const response = await server.app.inject({
      method,
      url,
      headers: {
        'sec-fetch-site': 'same-origin',
        host: DOMAIN,
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      ...(body && { payload: body }),
      ...(form && { payload: new URLSearchParams({ ...form }).toString() }),
    });
    const cookie = response.headers['set-cookie'];
    const answer: Answered = {
      status: response.statusCode,
      body: response.body === '' ? {} : response.json(),
      cookie: cookie === undefined ? undefined : String(cookie).split(';')[0],
    };
    fleet.facts.answers += 1;
    examine(fleet, 'onAnswer', {
      replica: replica.name,
      route: `${method} ${url}`,
      status: answer.status,
      code: answer.body['code'] as string | undefined,
    });
    served(answer, receivedAt);
    return answer;
  });
  const patience = wait(PATIENCE_MS, null).then(() => undefined);
  return Promise.race([answering.catch(() => undefined), patience]);
}

export const describe = (answer: Answered | undefined) =>
  answer ? `${answer.status} ${answer.body['dtype'] ?? answer.body['code'] ?? ''}`.trim() : 'no answer';
