/**
 * V8's block coverage, turned on by importing this file. Only functions first called after that are counted by blocks,
 * so import it before the code to be fuzzed.
 */

import { type Profiler, Session } from 'node:inspector';

const session = new Session();
session.connect();
post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });

/**
 * The blocks of files (our own and those of libraries) that were reached or skipped since the last call, each by its
 * position.
 */
export function reached(): string[] {
  const { result } = post('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType;
  return result
    .filter(({ url }) => url.startsWith('file:') && !/\/test\/fuzz\/(coverage|guided|rules)\.ts$/.test(url))
    .flatMap(({ scriptId, functions }) =>
      functions.flatMap(({ ranges }) =>
        ranges.map(({ startOffset, endOffset, count }) => `${scriptId} ${startOffset} ${endOffset} ${count > 0}`),
      ),
    );
}

/** In the same thread, the callback is synchronous. */
function post(method: string, parameters?: object): unknown {
  let outcome: unknown;
  session.post(method, parameters, (error, result) => {
    if (error) throw error;
    outcome = result;
  });
  return outcome;
}
