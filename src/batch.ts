/**
 * Combines the work of one event-loop tick. Requests that arrive in the same tick share one read or one transaction of
 * the ledger, or one call to a remote signer. A single request does not wait for others. Callers see no difference.
 */

type Waiting<In, Out> = { input: In; resolve: (output: Out) => void; reject: (error: unknown) => void };

/**
 * Turns work on many inputs (one output each, in the same order) into a function of one input. If the work throws, all
 * inputs of that tick fail.
 */
export function batchPerTick<In, Out>(
  work: (inputs: readonly In[]) => Promise<readonly Out[]>,
): (input: In) => Promise<Out> {
  let waiting: Waiting<In, Out>[] = [];
  const flush = async () => {
    const batch = waiting;
    waiting = [];
    try {
      const outputs = await work(batch.map((one) => one.input));
      for (const [index, one] of batch.entries()) one.resolve(outputs[index] as Out);
    } catch (error) {
      for (const one of batch) one.reject(error);
    }
  };
  return (input) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ input, resolve, reject }) === 1) setImmediate(flush);
    });
}
