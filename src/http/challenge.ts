/**
 * The bot challenge of pages, if one is configured. The page sends the response that it got from the widget, and the
 * challenge's own server verifies it before a token is issued. A response is valid once, so each token needs a new one.
 */

import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import { readUrl } from '../outbound.ts';

const MAX_BYTES = 64 * 1024;
const TIMEOUT_MS = 3000;

/** Turnstile, hCaptcha and reCAPTCHA answer with more members. */
const verdict = z.object({ success: z.boolean() });

/** Verifies the response to a challenge. Throws `challenge_failed` or `challenge_unavailable`. */
export type VerifyChallenge = (response: string | undefined, address: string) => Promise<void>;

/** Returns the check; undefined when no challenge is configured. */
export function openChallenge(settings: Config['callers']['challenge']): VerifyChallenge | undefined {
  if (!settings) return undefined;
  const { verifyUrl, secret } = settings;
  return async (response, address) => {
    if (response === undefined)
      throw new WebdistError(
        'challenge_failed',
        'challenge: is required. Send the response that the page got from the widget.',
      );
    const form = new URLSearchParams({ secret, response, remoteip: address });
    const success = await ask(verifyUrl, form);
    if (!success)
      throw new WebdistError('challenge_failed', 'challenge: is not valid, too old, or was used before.', {
        hint: 'Get a new response for each token.',
      });
  };
}

async function ask(url: string, form: URLSearchParams): Promise<boolean> {
  try {
    const { bytes } = await readUrl(url, { maxBytes: MAX_BYTES, timeoutMs: TIMEOUT_MS, form });
    return verdict.parse(JSON.parse(bytes.toString('utf8'))).success;
  } catch (cause) {
    throw new WebdistError('challenge_unavailable', "The challenge's server does not answer.", {
      cause,
      retryAfterSeconds: 5,
    });
  }
}
