/**
 * PINs that a token has refused. A token locks after a few wrong PINs, and a supervisor restarts webdist many times. So
 * refused PINs are remembered in the data folder, as slow keyed hashes.
 */

import { randomBytes, scryptSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import { makeFolder } from '../file-problem.ts';

export interface RefusedPins {
  /** Where they are stored, for messages; undefined when only this process remembers them. */
  readonly file: string | undefined;
  /** Whether this token refused this PIN before. */
  has(tokenSerial: string, pin: string): boolean;
  add(tokenSerial: string, pin: string): void;
}

/** `key`: base64 of the key of the hashes, made for this file. */
const fileForm = z.object({ key: z.string(), refused: z.array(z.string()) });

/** For data folders, and for processes without one. */
const opened = new Map<string | undefined, RefusedPins>();

/** The PINs remembered in the data folder (`WEBDIST_DATA_DIR`). A file that cannot be read or written is not used. */
export function refusedPins(env: Environment): RefusedPins {
  const folder = env['WEBDIST_DATA_DIR'];
  const pins = opened.get(folder) ?? open(folder && join(folder, 'refused-pins.json'));
  opened.set(folder, pins);
  return pins;
}

function open(file: string | undefined): RefusedPins {
  const state = readFile(file) ?? { key: randomBytes(32).toString('base64'), refused: [] };
  const hashOf = (tokenSerial: string, pin: string) =>
    scryptSync(`${tokenSerial}\0${pin}`, Buffer.from(state.key, 'base64'), 32).toString('base64');
  return {
    file,
    has: (tokenSerial, pin) => state.refused.length > 0 && state.refused.includes(hashOf(tokenSerial, pin)),
    add(tokenSerial, pin) {
      state.refused.push(hashOf(tokenSerial, pin));
      writeFile(file, JSON.stringify(state));
    },
  };
}

function readFile(file: string | undefined) {
  try {
    return file === undefined ? undefined : fileForm.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined; // There is no such file yet, or it is not a file of webdist.
  }
}

function writeFile(file: string | undefined, text: string): void {
  if (file === undefined) return;
  try {
    makeFolder(dirname(file), 0o700);
    writeFileSync(file, text, { mode: 0o600 });
  } catch {
    // This process remembers it in any case.
  }
}
