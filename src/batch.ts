/**
 * Work of one event-loop turn, done together: requests that arrive in the same turn share one transaction, and so one
 * flush to disk, or one call to a signer far away. Adds no waiting when there is only one. A reader may skip this file:
 * what it makes behaves as without it.
 */

type Waiting<In, Out> = { input: In; resolve: (output: Out) => void; reject: (error: unknown) => void };

/**
 * Turns work on many inputs (one output each, same order) into a function of one input. All inputs of a turn fail
 * together when the work throws.
 */
export function batchPerTick<In, Out>(
  work: (inputs: readonly In[]) => Promise<readonly Out[]>,
): (input: In) => Promise<Out> {
  let waiting: Waiting<In, Out>[] = [];
  const flush = async () => {
    const turn = waiting;
    waiting = [];
    try {
      const outputs = await work(turn.map((one) => one.input));
      for (const [index, one] of turn.entries()) one.resolve(outputs[index] as Out);
    } catch (error) {
      for (const one of turn) one.reject(error);
    }
  };
  return (input) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ input, resolve, reject }) === 1) setImmediate(flush);
    });
}
