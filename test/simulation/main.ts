/** `npm run simulate`: runs the fleet in virtual time (docs/simulation.md). */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { plantedBugs } from './planted-bugs.ts';
import { installWorld } from './world/globals.ts';
import { installHooks } from './world/hooks.ts';

const options = {
  /** A whole number; it decides everything that happens. */
  seed: { type: 'string', default: '1' },
  /** How many seeds are run, one after the other. */
  seeds: { type: 'string', default: '1' },
  /** No seed begins after this many seconds of processor time. */
  seconds: { type: 'string', default: '86400' },
  hours: { type: 'string', default: '0.05' },
  /** The file to which the history of the last run is written. */
  trace: { type: 'string' },
  /** The name of a planted bug. */
  bug: { type: 'string' },
  /** The file for the statements that PostgreSQL executed in the last run. */
  history: { type: 'string' },
  'no-story': { type: 'boolean', default: false },
} as const;

function fail(message: string): never {
  process.stderr.write(`simulate: ${message}\n`);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

/** Reads a number of at least `least`. */
function numberOf(name: 'seed' | 'seeds' | 'seconds' | 'hours', least: number): number {
  const number = Number(values[name]);
  const isWhole = name === 'hours' || Number.isSafeInteger(number);
  if (values[name].trim() !== '' && number >= least && Number.isFinite(number) && isWhole) return number;
  return fail(
    `--${name} ${values[name]}: expected a ${name === 'hours' ? 'number' : 'whole number'} of at least ${least}, such as ${options[name].default}.`,
  );
}

const values = readOptions();
const first = numberOf('seed', 0);
const seeds = numberOf('seeds', 1);
const mostSeconds = numberOf('seconds', 1);
const lengthMs = numberOf('hours', 0.001) * 3_600_000;

const bug = plantedBugs.find(({ name }) => name === values.bug);
if (values.bug !== undefined && !bug) fail(`There is no planted bug "${values.bug}".`);
const { write } = process.stdout;
const print = (line: string) => write.call(process.stdout, `${line}\n`);
installHooks(bug ? [bug] : []);
installWorld();
const { planOf, run } = await import('./run.ts');
const { shrink } = await import('./shrink.ts');
const { storyOf } = await import('./story.ts');

const total = { runs: 0, events: 0, simulatedMs: 0, activeMs: 0, tokens: 0, answers: 0 };
let violations = 0;
const cpuAtStart = process.cpuUsage();
for (let seed = first; seed < first + seeds && cpuSeconds() < mostSeconds; seed++) {
  const plan = planOf(seed, lengthMs);
  const outcome = await run(seed, plan, values.history !== undefined);
  total.runs += 1;
  for (const name of ['events', 'simulatedMs', 'activeMs', 'tokens', 'answers'] as const) total[name] += outcome[name];
  if (values.trace) writeFileSync(values.trace, outcome.trace.map((line) => `${line}\n`).join(''));
  if (values.history) writeFileSync(values.history, JSON.stringify(outcome.history));
  if (!outcome.violation) continue;
  process.exitCode = 1;
  violations += 1;
  const { invariant, detail } = outcome.violation;
  print(`seed ${seed} breaks "${invariant}" after ${outcome.events} events: ${detail}`);
  if (!values['no-story']) print(storyOf(await shrink(plan, outcome, (shorter) => run(seed, shorter)), plan.length));
  break;
}
print(figures());

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage(cpuAtStart);
  return (user + system) / 1e6;
}

function figures(): string {
  const perSecond = (count: number) => Math.round(count / cpuSeconds());
  const hours = (ms: number) => `${(ms / 3_600_000).toFixed(2)} h`;
  return (
    `${total.runs === 1 ? `seed ${first}` : `seeds ${first} to ${first + total.runs - 1}`}: ${violations} violations, ${total.events} events (${perSecond(total.events)} per second of processor time), ` +
    `${Math.round((total.runs * 60) / cpuSeconds())} seeds per minute of it, ${hours(total.simulatedMs)} simulated, ${hours(total.activeMs)} of them with replicas at work ` +
    `(${perSecond(total.activeMs / 1000)} times as fast as real time), ${total.tokens} tokens, ${total.answers} answers`
  );
}
