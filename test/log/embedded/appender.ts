import { writeSync } from 'node:fs';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { appendNumbered, limits, makeTopics } from './numbered.ts';

/**
 * A process to be killed: opens the log of argv[2], goes on where it stands, and prints the number of each group once it is
 * acknowledged. argv[3]: how many groups, or for ever.
 */
const log = openEmbeddedLog({ directory: process.argv[2] ?? '', ...limits });
const writer = await log.openWriter();
await makeTopics(writer);
const from = writer.range('end', 0).end;
writeSync(1, `open ${from}\n`);
for (let n = from; n < from + Number(process.argv[3] ?? Infinity); n++) {
  await appendNumbered(writer, n);
  writeSync(1, `${n}\n`);
}
await writer.close();
writeSync(1, 'closed\n');
