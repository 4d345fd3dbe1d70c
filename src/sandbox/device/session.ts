/**
 * The simulated device's session with a website: its OAuth tokens, and the restore and updates requests that carry them
 * (docs/apple-facts.md §3.2 to §3.5).
 */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { refusal } from './journey.ts';
import type { DeviceProfile } from './profile.ts';
import { parsedAs, type WebsiteClient } from './website-client.ts';

export type AppIds = { readonly appleItemId: string; readonly appleVersionId: string };

const metadata = z.object({ token_endpoint: z.string(), authorization_endpoint: z.string() });
const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  refresh_token: z.string().optional(),
});

const restoreEntry = z.object({
  appleItemId: z.string(),
  appleVersionId: z.string(),
  alternativeDistributionPackage: z.string(),
  installVerificationToken: z.string().default(''),
});
/** An app in the answer to a restore or updates request. */
export type RestoreEntry = z.output<typeof restoreEntry>;

const restoreAnswer = z.object({
  restores: z.array(restoreEntry).optional(),
  updates: z.array(restoreEntry).optional(),
  failures: z.array(z.object({ appleItemId: z.string(), failure: z.object({ description: z.string() }) })).optional(),
});

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const oauthBlame = { line: 28, signal: 'oauthTokenError' };

/** Opens a session without tokens. Its methods throw refusals. */
export function openSession(site: WebsiteClient, { platform, osVersion }: DeviceProfile) {
  const clientId = randomUUID();
  let accessToken: string | undefined;
  let refreshToken: string | undefined;

  const fetchTokens = async (parameters: Record<string, string>) => {
    const { token_endpoint: url } = await site.getJson(
      site.urlOf('/.well-known/oauth-authorization-server'),
      metadata,
      oauthBlame,
    );
    const answer = await site.post(
      url,
      { body: new URLSearchParams({ ...parameters, client_id: clientId }) },
      oauthBlame,
    );
    if (answer.status !== 200) {
      const body = JSON.stringify(answer.body)?.slice(0, 200);
      throw refusal(28, 'oauthTokenError', `${url} answered ${answer.status}: ${body}`);
    }
    const tokens = parsedAs(tokenAnswer, answer.body, url, oauthBlame);
    accessToken = tokens.access_token;
    refreshToken = tokens.refresh_token;
  };

  return {
    /** Exchanges a token as iOS does, by RFC 8693 (docs/apple-facts.md §3.5). */
    exchange: (subjectToken: string) =>
      fetchTokens({
        grant_type: EXCHANGE,
        issued_token_type: ACCESS_TOKEN,
        subject_token: subjectToken,
        subject_token_type: ACCESS_TOKEN,
      }),
    /** Sends a restore or updates request. If the access token is refused, refreshes it once. */
    async request(kind: 'restore' | 'updates', apps: readonly AppIds[], url: string) {
      const send = () => {
        const headers = accessToken ? { authorization: `Bearer ${accessToken}` } : {};
        return site.postJson(url, { apps, platform, osVersion }, { headers }, { line: 30, signal: 'networkError' });
      };
      let answer = await send();
      if ([401, 403].includes(answer.status) && refreshToken) {
        await fetchTokens({ grant_type: 'refresh_token', refresh_token: refreshToken });
        answer = await send();
      }
      if ([401, 403].includes(answer.status))
        throw refusal(28, 'sign-in', `${kind} answered ${answer.status}: iOS would ask the user to sign in`);
      if (answer.status !== 200) throw refusal(30, 'networkError', `${kind} answered ${answer.status}, expected 200`);
      const parsed = restoreAnswer.safeParse(answer.body);
      if (!parsed.success)
        throw refusal(30, kind, `the answer does not match Apple's description: ${z.prettifyError(parsed.error)}`);
      return parsed.data;
    },
  };
}
