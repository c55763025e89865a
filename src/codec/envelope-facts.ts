import type { EncodeContext } from './codec.ts';

/** What Debezium's envelope says of a change beyond its row, whatever the format; the same for all rows of one transaction. */
export interface EnvelopeFacts {
  /** The version of this envelope, not of the program, so that equal rows give equal bytes. */
  readonly version: 'tailrace-1';
  readonly connector: 'postgresql';
  readonly name: string;
  readonly db: string;
  readonly snapshot: 'incremental' | 'false';
  /** When it was committed, by the source's clock. */
  readonly tsUs: bigint;
  readonly txId: number;
  /** Of the commit: with the ordinal it ascends strictly. */
  readonly lsn: bigint;
  readonly transactionId: string;
}

export function envelopeFacts({ pipeline, database, transaction }: EncodeContext, op: string): EnvelopeFacts {
  const { xid, commitLsn, commitTime } = transaction;
  return {
    version: 'tailrace-1', connector: 'postgresql', name: pipeline, db: database, snapshot: op === 'r' ? 'incremental' : 'false',
    tsUs: commitTime, txId: xid, lsn: commitLsn, transactionId: `${xid}:${commitLsn}`,
  };
}
