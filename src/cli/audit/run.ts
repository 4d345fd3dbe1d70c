/** `webdist audit`: checks the chains in audit files, and finds a token in them (docs/audit.md). */

import { fileURLToPath } from 'node:url';
import { openVerification, readLines } from '../../audit/verify.ts';
import { only, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { type JsonOption, print, resultLine, table } from '../terminal.ts';

export async function verifyAudit(
  given: readonly string[],
  { head, json }: JsonOption & { readonly head?: string },
): Promise<void> {
  const verification = openVerification();
  let seen = head === undefined;
  const others = await readLines(filesOf(given), (line) => {
    verification.add(line);
    seen ||= line.hash === head;
  });
  const chains = verification.reports();
  const problems = chains.flatMap(({ chain, problems }) => problems.map((problem) => `${chain}: ${problem}`));
  if (!seen)
    problems.push(
      'No line has the hash from --head: lines were removed from the end, or a file is missing from the command.',
    );
  const rows = chains.map(({ chain, lines, first, last, head }) => [chain, `${lines}`, `${first}`, `${last}`, head]);
  print({ ok: problems.length === 0, chains, otherLines: others, problems }, json, [
    ...(rows.length === 0 ? ['No audit lines.'] : table(['CHAIN', 'LINES', 'FIRST', 'LAST', 'HEAD'], rows)),
    ...(others > 0 ? [`${others} other lines, or lines that a killed process did not complete, were skipped.`] : []),
    ...problems.map((problem) => resultLine('fail', problem)),
  ]);
  if (problems.length > 0)
    throw new WebdistError('state_invalid', 'The audit log is not complete and unchanged.', {
      hint: 'Compare it with a backup, and pass the files of all replicas and all rotated files.',
    });
}

export async function findToken(nonce: string, given: readonly string[]): Promise<void> {
  const wanted = nonce.toUpperCase();
  const found = new Set<string>();
  await readLines(filesOf(given), (line) => {
    if (line.nonce === wanted) found.add(line.text);
  });
  if (found.size === 0) throw new WebdistError('not_found', 'The audit log has no token with this nonce.');
  print(undefined, false, [...found]);
}

function filesOf(given: readonly string[]): readonly string[] {
  if (given.length > 0) return given;
  const sinks = only(['WEBDIST_AUDIT'], processSettings()).WEBDIST_AUDIT ?? [];
  const files = sinks.filter((url) => url.startsWith('file:')).map((url) => fileURLToPath(url));
  if (files.length === 0)
    throw new WebdistError('usage_invalid', 'No audit file is given.', {
      hint: 'Pass the files, or set WEBDIST_AUDIT.',
    });
  return files;
}
