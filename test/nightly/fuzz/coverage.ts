/**
 * The block coverage of V8, on from when this is imported: only functions first called after that are counted by blocks,
 * so it has to be imported before what is fuzzed.
 */

import { type Profiler, Session } from 'node:inspector';

const session = new Session();
session.connect();
post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });

/** Blocks of files, ours and the libraries', that were reached or left out since this was last called, each by its place. */
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

/** In the same thread the answer comes at once. */
function post(method: string, parameters?: object): unknown {
  let outcome: unknown;
  session.post(method, parameters, (error, result) => {
    if (error) throw error;
    outcome = result;
  });
  return outcome;
}
