import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import { newEncoded, nullSlice } from '../../src/codec/codec.ts';
import { embeddedLogConfig } from '../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../src/log/embedded/index.ts';
import type { LogWriter } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { origin } from '../../src/pipeline/control-records.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { headerName, HeaderWriter, startIdBytes } from '../../src/pipeline/record-header.ts';
import { changeOf, tableOf, type ChangeSpec } from '../contract/change-samples.ts';
import { tempDirectory } from '../support/temp.ts';

export const startId = '00112233445566aa';
/** 2026-01-31T12:00:00Z; each event a second later. */
export const firstAt = Date.UTC(2026, 0, 31, 12);
export const items = tableOf([['id', 23], ['__proto__', 25], ['note', 25]]);

/** A folder with a connector file and a log that holds `events` of public.items, as a publisher would have written them. */
export async function logWith(events: readonly ChangeSpec[]): Promise<{ readonly file: string; readonly writer: LogWriter; readonly add: (events: readonly ChangeSpec[]) => Promise<void> }> {
  const folder = await tempDirectory();
  await mkdir(join(folder, 'connectors'));
  const file = join(folder, 'connectors', 'shop.yaml');
  const directory = join(folder, 'log');
  await writeFile(file, `name: shop\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: { type: embedded, directory: ${directory} }\nsinks:\n  - { name: local, type: sqlite, path: ${join(folder, 'local.sqlite')} }\n`);
  const writer = await createEmbeddedLog(embeddedLogConfig.parse({ directory })).openWriter();
  for (const topic of ['shop.transaction', 'shop.schema', 'shop.sink.local', 'shop.public.items']) await writer.createTopic({ topic, partitions: 1 });
  const schema = writer.batch('shop.schema', 0);
  const { version, ...shape } = items;
  schema.add(controlDraft(encodeControl({ type: 'version', version, shape }), firstAt));
  const transactions = writer.batch('shop.transaction', 0);
  const place = { epoch: 1, commitLsn: 0x10n };
  transactions.add(controlDraft(encodeControl({ type: 'start', logId: writer.logId, epoch: 1, startId, systemIdentifier: '7', timeline: 1, slot: 'tailrace_shop', tables: [], continues: null, gap: null }), firstAt));
  transactions.add(controlDraft(encodeControl({ type: 'end', startId, ...place, endLsn: 0x20n, commitTime: BigInt(firstAt) * 1000n, previous: origin, parts: [], snapshot: null }), firstAt));
  const sink = writer.batch('shop.sink.local', 0);
  sink.add(controlDraft(encodeControl({ type: 'position', startId, ...place, endLsn: 0x18n, offset: 0 }), firstAt));
  await writer.append([schema, transactions, sink]);
  let ordinal = 0;
  const add = async (more: readonly ChangeSpec[]): Promise<void> => {
    const codec = createTupleCodec();
    const header = new HeaderWriter(codec.id);
    header.begin(startIdBytes(startId), 1, 0x10n);
    const transaction = { op: 'begin', commitLsn: 0x10n, commitTime: 0n, xid: 1 } as const;
    const batch = writer.batch('shop.public.items', 0);
    for (const spec of more) {
      const change = changeOf(items, { ...spec, ordinal });
      const out = newEncoded();
      codec.encodeRow(change, change.table, { pipeline: 'shop', database: 'shop', transaction, processedAt: 0 }, out);
      header.change(spec.op, ordinal, items.version, { partial: false, half: 'whole' });
      const own = nullSlice();
      Object.assign(own, { bytes: header.bytes, start: 0, end: header.bytes.length });
      batch.add({ timestamp: firstAt + ordinal * 1000, key: out.key, value: out.value, headers: [{ name: headerName, value: own }] });
      ordinal++;
    }
    await writer.append([batch]);
  };
  if (events.length > 0) await add(events);
  return { file, writer, add };
}
