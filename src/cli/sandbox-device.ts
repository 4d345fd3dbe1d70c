/** `webdist sandbox device`: the simulated iPhone, told to install from a website in sandbox mode, step by step. */

import { z } from 'zod';
import { WebdistError } from '../errors.ts';
import type { Journey } from '../sandbox/journey.ts';
import { type JsonOption, print, resultWord } from './terminal.ts';

type Options = JsonOption & { readonly app?: string; readonly once?: boolean };

const linkAnswer = z.object({ installUrl: z.string() });
const verdict = z.object({
  accepted: z.boolean(),
  checks: z.array(
    z.object({ name: z.string(), ok: z.boolean(), detail: z.string(), warning: z.literal(true).optional() }),
  ),
});

export async function install(address: string, { app, once, json }: Options): Promise<void> {
  const website = URL.parse(address)?.origin;
  if (!website?.startsWith('http')) throw new WebdistError('usage_invalid', 'The URL is not an http or https address.');
  const { openPhone } = await import('../sandbox/journey.ts');
  const link = async () =>
    linkAnswer.parse(await post(`${website}/install-token`, app === undefined ? {} : { app })).installUrl;
  const first = await link();
  const domain = new URL(/alternativeDistributionPackage=([^&]+)/.exec(decodeURIComponent(first))?.[1] ?? website)
    .hostname;
  const phone = openPhone({
    website,
    domain,
    judge: async (request) => {
      const { accepted, checks } = verdict.parse(await post(`${website}/_sandbox/device`, request));
      return { accepted, checks: checks.map(({ warning, ...check }) => (warning ? { ...check, warning } : check)) };
    },
  });
  const journeys: Record<string, Journey> = { install: await phone.install(first) };
  if (!once && journeys['install']?.accepted) {
    for (const { appleItemId } of phone.apps()) phone.remove(appleItemId);
    journeys['reinstall'] = await phone.install(await link());
    journeys['restore from backup'] = await phone.restoreFromBackup();
  }
  const lines = Object.entries(journeys).flatMap(([name, { steps }]) => [
    name,
    ...steps.map((step) => `  ${resultWord(step.ok ? 'ok' : 'fail')}  ${step.name}: ${step.detail}`),
  ]);
  print(journeys, json, lines);
  const refused = Object.values(journeys).find(({ accepted }) => !accepted);
  if (refused) throw new WebdistError('package_invalid', 'The simulated device does not install; see above.');
}

async function post(url: string, body: object): Promise<unknown> {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url, request).catch((cause) => {
    throw new WebdistError('usage_invalid', `Nothing answers at ${url}.`, {
      mend: 'Start webdist in sandbox mode (npm start), and give its address.',
      cause,
    });
  });
  const parsed: unknown = await answer.json().catch(() => undefined);
  if (answer.ok) return parsed;
  const detail = z.object({ detail: z.string() }).safeParse(parsed).data?.detail;
  throw new WebdistError('usage_invalid', `${url} answered ${answer.status}${detail ? `: ${detail}` : '.'}`, {
    mend: 'The service has to run in sandbox mode.',
  });
}
