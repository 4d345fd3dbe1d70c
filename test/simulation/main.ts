/** `npm run simulate`: runs the fleet in virtual time (docs/simulation.md). */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { installWorld } from './world/globals.ts';
import { installHooks } from './world/hooks.ts';

const realNow = performance.now.bind(performance);
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    hours: { type: 'string', default: '0.05' },
    trace: { type: 'string' },
  },
});
installHooks([]);
installWorld();
const { planOf, run } = await import('./run.ts');

const first = Number(values.seed);
const lengthMs = Number(values.hours) * 3_600_000;
const begunAt = realNow();
const total = { runs: 0, events: 0, simulatedMs: 0, tokens: 0, answers: 0 };
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const outcome = await run(seed, planOf(seed, lengthMs));
  total.runs += 1;
  total.events += outcome.events;
  total.simulatedMs += outcome.simulatedMs;
  total.tokens += outcome.tokens;
  total.answers += outcome.answers;
  if (values.trace) writeFileSync(values.trace, outcome.trace.map((line) => `${line}\n`).join(''));
  if (outcome.violation) {
    console.log(`seed ${seed}: ${outcome.violation.invariant}: ${outcome.violation.detail}`);
    process.exitCode = 1;
  }
}
const realSeconds = (realNow() - begunAt) / 1000;
console.log(
  `${total.runs} runs, ${total.events} events (${Math.round(total.events / realSeconds)}/s), ${(total.simulatedMs / 3_600_000).toFixed(1)} h simulated (${Math.round(total.simulatedMs / 1000 / realSeconds)} s/s), ${total.tokens} tokens, ${total.answers} answers`,
);
