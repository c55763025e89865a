import { actionFor, TailraceError } from '../runtime/errors.ts';
import type { StatusError } from './status.ts';

/** How a supervised part stands, for status and logs. */
export type Health =
  | { readonly state: 'running' }
  | { readonly state: 'retrying' | 'stopped'; readonly error: StatusError };

export interface SupervisedPart {
  /** Runs until `signal` aborts; whatever it throws is judged by the error catalogue. Calls `healthy` once it works. */
  run(signal: AbortSignal, healthy: () => void): Promise<void>;
  onHealth(health: Health, error: unknown): void;
}

const firstDelay = 200;
const longestDelay = 10_000;
/**
 * What a person has to mend is looked at again from time to time, so that the part goes on by itself afterwards. Soon at first: a row
 * that a replica refuses may be void by a copy that is just being begun.
 */
const firstOperatorDelay = 1000;

/**
 * Runs a part again and again as the error catalogue says: `retry` and, with longer ones, `operator` with growing pauses, `stop`
 * and everything unknown not at all (DESIGN rule 7). Returns the error that stopped it, or null after an abort.
 */
export async function supervise(part: SupervisedPart, signal: AbortSignal): Promise<unknown> {
  let delay = firstDelay;
  let operatorDelay = firstOperatorDelay;
  while (!signal.aborted) {
    const began = Date.now();
    try {
      await part.run(signal, () => {
        delay = firstDelay;
        part.onHealth({ state: 'running' }, null);
      });
      return null;
    } catch (error) {
      if (signal.aborted) return null;
      const action = actionFor(error);
      part.onHealth({ state: action === 'stop' ? 'stopped' : 'retrying', error: statusError(error) }, error);
      if (action === 'stop') return error;
      // Healthy says little here: what a person has to mend is met only once the part works.
      if (Date.now() - began >= longestDelay) operatorDelay = firstOperatorDelay;
      await pause(action === 'operator' ? operatorDelay : delay, signal);
      if (action === 'operator') operatorDelay = Math.min(longestDelay, operatorDelay * 2);
      delay = Math.min(longestDelay, delay * 2);
    }
  }
  return null;
}

export function statusError(error: unknown): StatusError {
  if (error instanceof TailraceError) return { code: error.code, message: error.message, remedy: error.remedy };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error), remedy: new TailraceError('internal', '').remedy };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}
