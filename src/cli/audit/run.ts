/** `webdist audit`: checks an audit file, and finds a token in it (docs/audit.md). */

import { type ChainedLine, readChain } from '../../audit/chain.ts';
import { only, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { print } from '../terminal.ts';

export async function verifyAudit(
  given: string | undefined,
  { head, json }: { head?: string; json?: boolean },
): Promise<void> {
  const path = pathOf(given);
  let last: ChainedLine | undefined;
  let seen = head === undefined;
  let tornBytes = 0;
  for await (const line of readChain(path, (bytes) => (tornBytes = bytes))) {
    last = line;
    seen ||= line.hash === head;
  }
  if (!seen)
    throw new WebdistError('state_invalid', `${path}: no line has the hash from --head.`, {
      hint: 'Lines were removed from the end, or this is another file.',
    });
  const data = { lines: last?.number ?? 0, head: last?.hash ?? null, tornBytes };
  const torn = `torn   ${tornBytes} bytes of an incomplete line: a process was killed while writing, or is writing now`;
  print(data, json, [`lines  ${data.lines}`, `head   ${data.head ?? 'none'}`, ...(tornBytes > 0 ? [torn] : [])]);
}

export async function findToken(nonce: string, given: string | undefined): Promise<void> {
  const path = pathOf(given);
  const wanted = nonce.toUpperCase();
  let found: string | undefined;
  // Reads to the end even after a match, because the answer is worthless if the file was tampered with.
  for await (const line of readChain(path, () => undefined)) if (line.nonce === wanted) found = line.text;
  if (found === undefined) throw new WebdistError('not_found', `${path} has no token with this nonce.`);
  print(undefined, false, [found]);
}

function pathOf(given: string | undefined): string {
  const path = given ?? only(['WEBDIST_AUDIT'], processSettings()).WEBDIST_AUDIT;
  if (path === undefined)
    throw new WebdistError('usage_invalid', 'No audit file is given.', {
      hint: 'Name the file, or set WEBDIST_AUDIT.',
    });
  return path;
}
