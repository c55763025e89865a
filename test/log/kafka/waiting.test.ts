import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../../src/cli/demo/embedded-postgres.ts';
import { kafkaLogConfig } from '../../../src/log/kafka/config.ts';
import { createKafkaLog } from '../../../src/log/kafka/index.ts';
import { createLogger } from '../../../src/runtime/logger.ts';
import { tailrace } from '../../support/daemon.ts';
import { tempDirectory } from '../../support/temp.ts';

test('brokers that are away are waited for, which is said once while it lasts, and by whom it is heard', async () => {
  const lines: string[] = [];
  const broker = `127.0.0.1:${await freePort()}`;
  const logger = createLogger({ level: 'warn', destination: { write: (line) => void lines.push(line) } });
  const log = createKafkaLog(kafkaLogConfig.parse({ brokers: [broker], delivery_timeout: '4s' }), { pipeline: 'shop', logger });
  const reader = await log.openReader();
  await assert.rejects(reader.topics(), /ECONNREFUSED/);
  assert.deepEqual(lines.map((line) => (JSON.parse(line) as { msg: string; err: { code: string } })).map(({ msg, err }) => [msg, err.code]), [['the brokers are waited for', 'log-unreachable']]);
  await reader.close();
});

test('a command that waits for brokers says so in prose, before it gives up', async (t) => {
  const broker = `127.0.0.1:${await freePort()}`;
  const file = join(await tempDirectory(t), 'shop.yaml');
  await writeFile(file, `name: shop\nsource: { type: postgres, url: "postgres://shop@localhost/shop" }\nlog: { type: kafka, brokers: ["${broker}"], delivery_timeout: 4s }\n`);
  for (const args of [['topics', 'list', file], ['produce', 'clicks', file]]) {
    const { code, out, err } = await tailrace(args, {}, 'x\n');
    assert.deepEqual([code, out], [3, '']);
    assert.match(err, new RegExp(`^tailrace: the brokers are waited for: the Kafka broker at ${broker} cannot be reached[^]*\\ntailrace: the Kafka broker at .* cannot be reached`));
  }
});
