import { formatLsn, lsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { InputPlace, ResultStep } from './outputs.ts';
import type { State } from './state.ts';
import { readPosition } from './stream-session.ts';
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

/** The step at which a state stands, so that it can be written as it is; null for one that has no past. */
export function keepAs(state: State): ResultStep | null {
  const place = readPosition(state) ?? readTaken(state)?.place ?? null;
  return place === null ? null : { place: { epoch: place.epoch, commitLsn: place.commitLsn }, commitTime: 0n };
}

/** Up to where the results have what the shards give, and behind which step of each. */
export interface Taken {
  readonly place: InputPlace;
  readonly shards: readonly (Position | null)[];
  /** Log and source of the input, as its START has them. */
  readonly input: Pick<Position, 'logId' | 'systemIdentifier'>;
}

export function writeTaken(state: State, taken: Taken): void {
  state.setMeta('taken', JSON.stringify(taken, (_, value: unknown) => (typeof value === 'bigint' ? formatLsn(value) : value)));
}

export function readTaken(state: State): Taken | null {
  const text = state.meta('taken');
  return text === null ? null : (JSON.parse(text, (key, value: unknown) => (key === 'commitLsn' ? lsn(value as string) : value)) as Taken);
}
