import { TailraceError } from '../runtime/errors.ts';
import type { State } from './state.ts';
import type { StreamDefinition } from './stream.ts';

/** What all tasks of a stream agree in. */
export interface SpreadOf {
  readonly name: string;
  readonly definition: StreamDefinition;
  readonly fingerprint: string;
  readonly shards: number;
}

/** A state that was made by another module, or with another number of shards, is refused; with `settles` a new one is made by these. */
export function refuseOther(state: State, { name, fingerprint, shards, settles = false }: SpreadOf & { readonly settles?: boolean }): void {
  const [made, dealt] = [state.meta('fingerprint'), state.meta('shards')];
  if (made !== null && dealt !== String(shards)) {
    throw new TailraceError('stream-changed', `the state of the stream ${name} is dealt out to ${dealt} shards, and ${shards} are configured`, {
      remedy: `Configure shards: ${dealt} for it again; or stop its workers and run tailrace streams reset ${name}: it is computed anew.`,
    });
  }
  if (made !== null && made !== fingerprint) throw new TailraceError('stream-changed', `the module of the stream ${name} is another one than its state was made with`);
  if (made !== null || !settles) return;
  state.setMeta('fingerprint', fingerprint);
  state.setMeta('shards', String(shards));
}
