import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '../../../src/cli/demo/embedded-postgres.ts';
import { Cluster } from '../../../src/log/kafka/cluster.ts';
import { kafkaLogConfig } from '../../../src/log/kafka/config.ts';
import { clusterOptions, createKafkaLog } from '../../../src/log/kafka/index.ts';
import { KafkaLogWriter } from '../../../src/log/kafka/writer.ts';
import type { LogWriter } from '../../../src/log/log.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { startKafka } from '../../support/kafka.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait.ts';

const place = ['shop.t', 0] as const;

/** Appends one record; returns the offset that it got. */
async function append(writer: LogWriter, text: string): Promise<number> {
  const [placed] = await writer.append([], () => [batchOf(writer, place, [record(text)])]);
  return placed?.offsetOf(0) ?? -1;
}

test('what is appended stands there once and in order, whatever becomes of answers, connections and the broker', async (t) => {
  const port = await freePort();
  const proxy = await TcpProxy.start({ host: '127.0.0.1', port });
  t.after(() => proxy.close());
  // Clients reach it through the proxy, because that is the address that it gives them.
  const cluster = await startKafka(t, { ports: [port], settings: { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}` } });
  const broker = cluster?.brokers[0];
  if (broker === undefined) return;
  const config = kafkaLogConfig.parse({ brokers: [`127.0.0.1:${proxy.port}`] });
  const log = createKafkaLog(config, { pipeline: 'shop', logger: silentLogger });
  const writer = await log.openWriter();
  const reader = await log.openReader();
  t.after(async () => {
    await writer.close();
    await reader.close();
  });
  await writer.createTopic({ topic: 'shop.t', partitions: 1 });
  const offsets = [await append(writer, 'A')];

  // Stored, and the answer lost: what is sent again is known to the broker.
  proxy.blackhole('down');
  const before = proxy.swallowed.down;
  const lost = append(writer, 'X');
  await eventually(() => proxy.swallowed.down > before, { what: 'the answer to be lost' });
  proxy.blackhole('down', false);
  proxy.reset();
  offsets.push(await lost, await append(writer, 'Y'));
  assert.deepEqual(await valuesOf(reader, place), ['A', 'X', 'Y']);

  // The broker dies in the middle, and comes back.
  const expected = ['A', 'X', 'Y'];
  for (let n = 0; n < 60; n++) {
    const appended = append(writer, `${n}`);
    if (n === 20) await broker.kill().then(() => broker.start());
    offsets.push(await appended);
    expected.push(`${n}`);
  }
  assert.deepEqual(await valuesOf(reader, place), expected);
  assert.deepEqual(offsets, expected.map((_, i) => i));

  // Away for longer than anybody waits: the writer is finished, and the next one goes on.
  const impatient = new Cluster({ ...clusterOptions(config), patience: 500 });
  const rules = { replication: 1, minInSync: 1, maxRecordSize: 1 << 20, settings: {} };
  const other = await KafkaLogWriter.open({ cluster: impatient, prefix: 'shop.', rules, compression: 'none', oversize: 'stop', partitionsFor: () => 1 });
  await broker.kill();
  await assert.rejects(append(other, 'never'), { code: 'log-unreachable' });
  await assert.rejects(append(other, 'nor this'), { code: 'log-unreachable' });
  await other.close();
  await broker.start();
  const next = await log.openWriter();
  assert.equal(await append(next, 'on'), expected.length);
  await next.close();
});
