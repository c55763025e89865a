import { TailraceError } from '../runtime/errors.ts';

/**
 * One operator at work. Rows arrive with how often they come (`times` > 0) or go (< 0), and what is made of them is handed on
 * at once or, where several changes of one result can be told as one, in `flush`.
 */
export interface Node {
  /** `port` is the place of the input among the operator's inputs. */
  receive(port: number, row: unknown, times: number): void;
  /** A row came or went whose key another shard has; undefined where that does not matter. */
  pass?(port: number, row: unknown, times: number): void;
  /** The step is over: what is held back goes on. Called in the order of the plan. */
  flush?(): void;
}

/** Hands a row on to whoever stands behind an operator. */
export type Emit = (row: unknown, times: number) => void;

/** More of something was taken away than was there: the user's functions gave something else for a row than before. */
export function inconsistent(what: string): TailraceError {
  return new TailraceError('stream-inconsistent', `${what} is taken back more often than it came`);
}
