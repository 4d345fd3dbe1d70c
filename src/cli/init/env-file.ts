/**
 * Files with one `NAME=value` on each line. A POSIX shell, Node.js, Docker Compose and systemd read them in the same way,
 * because a value is quoted only if it has characters that one of them treats specially.
 */

import { readFile } from 'node:fs/promises';
import { WebdistError } from '../../errors.ts';
import { fileProblem } from '../../file-problem.ts';

const LINE = /^(?:export\s+)?([A-Za-z_]\w*)=(.*)$/;

/** A value whose quote does not end on its line. */
const UNENDED = /^"[^"]*$|^'[^']*$/;

/** The content of a file: the values without their quotes, and the comments. */
export type EnvFile = { readonly values: Record<string, string>; readonly comments: readonly string[] };

/**
 * Reads a file; it is empty if it does not exist. Throws `state_invalid` for a line that is neither a value nor a comment,
 * because it would be lost when the file is written again.
 */
export async function readEnvFile(path: string): Promise<EnvFile> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw fileProblem(error, path, '--out') ?? error;
  });
  const values: Record<string, string> = {};
  const comments: string[] = [];
  for (const [index, whole] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = whole.trim();
    const [, name, written = ''] = LINE.exec(line) ?? [];
    if (line.startsWith('#')) comments.push(line);
    else if (name !== undefined && !UNENDED.test(written.trim()))
      values[name] = written.trim().replace(/^(["'])(.*)\1$/, '$2');
    else if (line !== '')
      throw new WebdistError('state_invalid', `${path}: line ${index + 1} is not NAME=value on one line.`, {
        hint: 'Correct it, put a value of several lines into a file of its own (NAME_FILE), or use another folder (--out).',
      });
  }
  return { values, comments };
}

const PLAIN = /^[\w@%+=:,./-]*$/;

/** Returns one line. `quotes: false` is for Kustomize, which reads quotes as a part of the value. */
export function envLine(name: string, value: string, { quotes = true } = {}): string {
  if (/['\r\n]/.test(value))
    throw new WebdistError('config_invalid', `${name}: a value with a quote or a line break cannot be written.`, {
      hint: `Put it into a file of its own, and set ${name}_FILE.`,
    });
  return `${name}=${quotes && !PLAIN.test(value) ? `'${value}'` : value}\n`;
}
