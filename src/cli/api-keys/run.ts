/** `webdist api-keys new`: creates the key of a server. */

import { createHash, randomBytes } from 'node:crypto';
import { apiKey } from '../../config/forms.ts';
import { WebdistError } from '../../errors.ts';
import { type JsonOption, print } from '../terminal.ts';

const KEY_BYTES = 32;

type Options = JsonOption & { readonly tokensPerMinute?: string; readonly until?: string };

export function newApiKey(name: string, { tokensPerMinute = '', until, json }: Options): void {
  const key = randomBytes(KEY_BYTES).toString('base64url');
  const sha256 = createHash('sha256').update(key).digest('hex');
  const limits = [tokensPerMinute, ...(until === undefined ? [] : [until])].join(':');
  const entry = [name, sha256, ...(limits === '' ? [] : [limits])].join(':');
  const { success } = apiKey.safeParse(entry);
  if (!success)
    throw new WebdistError('usage_invalid', 'The name, --tokens-per-minute or --until is not valid.', {
      hint: 'A name consists of letters, digits, "_", "." and "-". The limit is a whole number, and the last day a date such as 2027-12-31.',
    });
  print({ name, key, entry }, json, [
    `key    ${key}`,
    `entry  ${entry}`,
    '',
    'Give the key to the server, which sends it as "Authorization: Bearer KEY". Add the entry to WEBDIST_API_KEYS;',
    'the key itself is stored nowhere.',
  ]);
}
