import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, logs, type LogConfig } from '../src/registry.ts';
import { silentLogger } from '../src/runtime/logger.ts';

const keys: Readonly<Record<keyof typeof logs, object>> = { embedded: { directory: '/nowhere' }, kafka: { brokers: ['127.0.0.1:1'] } };

for (const [type, plugin] of Object.entries(logs)) {
  test(`of how many writers a log of type ${type} has, the registry says what the log itself says`, async () => {
    const config = { type, ...(await plugin.config()).parse(keys[type as keyof typeof logs]) } as LogConfig;
    const log = await createLog(config, { pipeline: 'shop', logger: silentLogger });
    assert.equal(plugin.writers, log.writers);
  });
}
