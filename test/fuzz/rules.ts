/** The rules for every input of a parser, and the figures of a run. */

import { WebdistError } from '../../src/errors.ts';
import { secrets, type Target } from './targets.ts';

/** More CPU time than this is a hang, if it happens twice. Counting coverage makes parsers several times slower. */
export const HANG_MS = process.env['COVERAGE'] ? 1000 : 100;
/**
 * A slow input is tried again, and the shorter time counts, because the first may include compilation or garbage
 * collection.
 */
export const SUSPICIOUS_MS = 10;

/** CPU milliseconds of this thread, which do not grow on a busy machine. */
const cpuMs = (before: NodeJS.CpuUsage) => {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
};

export type Figures = { inputs: number; refused: number; slowestMs: number };
export const noFigures = (): Figures => ({ inputs: 0, refused: 0, slowestMs: 0 });

/**
 * Runs a target on an input. Throws if the target throws an error that its caller does not expect, if the message
 * contains a piece of a secret, or if it takes too long twice in a row.
 */
export async function check(target: Target, input: Buffer, figures = noFigures()): Promise<void> {
  const took = await once(target, input, figures);
  figures.inputs += 1;
  const ms = took > SUSPICIOUS_MS ? Math.min(took, await once(target, input, figures)) : took;
  figures.slowestMs = Math.max(figures.slowestMs, ms);
  if (ms > HANG_MS) throw new Error(`${Math.round(ms)} ms for one input`);
}

async function once({ run, throws = [] }: Target, input: Buffer, figures: Figures): Promise<number> {
  const before = process.threadCpuUsage();
  try {
    await run(input);
  } catch (error) {
    const ms = cpuMs(before);
    figures.refused += 1;
    if (!(error instanceof WebdistError) && !(error instanceof Error && throws.includes(error.name))) throw error;
    if (error instanceof WebdistError) {
      if (error.code === 'sign_in_unavailable') throw error;
      refuseSecrets(error.message);
    }
    return ms;
  }
  return cpuMs(before);
}

/** Throws when a text contains sixteen or more characters of a secret. */
function refuseSecrets(text: string): void {
  for (const [word] of text.matchAll(/[A-Za-z0-9+/=_-]{16,}/g))
    if (secrets.some((secret) => secret.includes(word))) throw new Error('the message holds a piece of a secret');
}
