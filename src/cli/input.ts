/** Input of the commands other than settings: files named by options, and stdin. */

import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { WebdistError } from '../errors.ts';

/** Reads a file that an option names. Throws `config_invalid`. */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WebdistError('config_invalid', `The file ${path} cannot be read (${code}).`, { cause });
  }
}

/** The argument itself; for `-`, the content of stdin. Trimmed. */
export const argumentOrStdin = async (argument: string): Promise<string> =>
  (argument === '-' ? await text(process.stdin) : argument).trim();
