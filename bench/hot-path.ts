/**
 * The code on the way of a row, without servers and disks: what the capture does with the bytes of a replication connection until
 * they are batches for the log, and what a sink's thread does with batches of the log until they are COPY data. CPU and
 * allocation a row, beside copying the same bytes once, byte by byte.
 *
 *     node --expose-gc bench/hot-path.ts [--rows N]
 */
import { measureHotPath } from './support/hot-path.ts';
import { options } from './support/options.ts';
import { machine, printTable } from './support/table.ts';

const rows = options.rows ?? 200_000;
console.log(machine());
const figures = await measureHotPath(rows);
printTable(`the hot path, ${rows.toLocaleString('en')} rows of about 200 bytes`, ['CPU µs a row', 'of copying', 'bytes allocated a row'], figures.map(({ what, cpu, allocated }) => [
  what, ((cpu / rows) * 1e6).toFixed(2), (cpu / (figures[0]?.cpu ?? 1)).toFixed(2), (allocated / rows).toFixed(0),
]));
