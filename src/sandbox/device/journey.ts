/** A journey of the simulated device: a sequence of named steps that ends at the first refusal. */

/** One step; `line` is the line of the rejection checklist (docs/apple-facts.md §10) if it was refused. */
type Step = { readonly name: string; readonly ok: boolean; readonly detail: string; readonly line?: number };

/** An install token that was accepted in this step. */
export type AcceptedToken = {
  readonly place: 'link' | 'restore' | 'update';
  readonly dtype: string;
  readonly nonce: string;
};

export type Journey = {
  readonly accepted: boolean;
  readonly steps: readonly Step[];
  readonly tokens: readonly AcceptedToken[];
};

/** Why the device stops. `signal` is the case of MarketplaceKitError, where Apple has one. */
class DeviceRefusal extends Error {
  readonly line: number;
  readonly signal: string;

  constructor(line: number, signal: string, detail: string) {
    super(detail);
    this.line = line;
    this.signal = signal;
  }
}

/** The error that refuses a step; `line` is that of the checklist. */
export const refusal = (line: number, signal: string, detail: string): Error => new DeviceRefusal(line, signal, detail);

export type Recorder = {
  readonly tokens: AcceptedToken[];
  /** Runs one step. The step returns its detail, or its detail and a value for later steps. */
  step<T>(name: string, run: () => Promise<readonly [string, T]>): Promise<T>;
  step(name: string, run: () => Promise<string>): Promise<undefined>;
};

/** Runs a journey, and returns its steps. Throws only errors that are not refusals. */
export async function record(run: (journey: Recorder) => Promise<void>): Promise<Journey> {
  const steps: Step[] = [];
  const tokens: AcceptedToken[] = [];
  const addRefused = (name: string, error: unknown) => {
    if (!(error instanceof DeviceRefusal)) throw error;
    steps.push({ name, ok: false, detail: `${error.signal}: ${error.message}`, line: error.line });
  };
  const step = async (name: string, act: () => Promise<string | readonly [string, unknown]>) => {
    try {
      const outcome = await act();
      const [detail, result] = typeof outcome === 'string' ? [outcome, undefined] : outcome;
      steps.push({ name, ok: true, detail });
      return result;
    } catch (error) {
      addRefused(name, error);
      throw new Ended();
    }
  };
  try {
    await run({ tokens, step: step as Recorder['step'] });
    return { accepted: true, steps, tokens };
  } catch (error) {
    if (!(error instanceof Ended)) addRefused('device', error);
    return { accepted: false, steps, tokens };
  }
}

/** Ends a journey whose refused step has been recorded. */
class Ended extends Error {}
