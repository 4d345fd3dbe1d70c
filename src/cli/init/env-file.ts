/**
 * Files with one `NAME=value` on each line. A POSIX shell, Node.js, Docker Compose and systemd read them in the same way,
 * because a value is quoted only if it has characters that one of them treats specially.
 */

import { readFile } from 'node:fs/promises';
import { WebdistError } from '../../errors.ts';
import { fileProblem } from '../../file-problem.ts';

const LINE = /^(?:export\s+)?([A-Za-z_]\w*)=(.*)$/;

/** Returns the values in a file, without their quotes; none if the file does not exist. Throws `state_invalid`. */
export async function readEnvFile(path: string): Promise<Record<string, string>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw fileProblem(error, path, '--out') ?? error;
  });
  const values: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, written = ''] = LINE.exec(line.trim()) ?? [];
    if (name !== undefined) values[name] = written.trim().replace(/^(["'])(.*)\1$/, '$2');
  }
  return values;
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
