/**
 * A worker to be killed: `node writer-process.ts FILE` applies transaction after transaction of 200 rows, each into a table
 * with a key and one without, and prints the commit LSN behind each. With `stop` it waits inside the second transaction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { changes, insert, positionAt, tableOf } from '../../contract/sink-samples.ts';
import { openSink } from './replica.ts';

export const keyed = tableOf({ name: 'keyed', columns: [['id', 'integer'], ['lsn', 'integer']], relid: 1 });
export const bag = tableOf({ name: 'bag', columns: [['lsn', 'integer'], ['pad', 'text']], key: [], relid: 2 });
export const rowsEach = 200;

async function main(path: string, stop: boolean): Promise<void> {
  const session = await openSink(path, {}, '10s').open({ signal: new AbortController().signal });
  for (let lsn = Number(session.position?.commitLsn ?? 0n) + 1; ; lsn++) {
    await session.begin(positionAt(lsn));
    const ids = Array.from({ length: rowsEach }, (_, i) => String(i));
    await session.write(changes(keyed, ids.map((id) => insert(keyed, [id, String(lsn)]))));
    await session.write(changes(bag, ids.map(() => insert(bag, [String(lsn), 'x'.repeat(500)]))));
    if (stop && lsn > 1) {
      process.stdout.write('inside\n');
      await sleep(600_000);
    }
    await session.commit();
    process.stdout.write(`${lsn}\n`);
  }
}

if (process.argv[1]?.endsWith('writer-process.ts') === true) await main(process.argv[2] as string, process.argv[3] === 'stop');
