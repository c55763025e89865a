import { readFile } from 'node:fs/promises';
import { TestDaemon } from './daemon.ts';
import type { Scope } from './postgres.ts';
import { ledgerSetting, type Setting, type SettingOptions } from './shop.ts';
import { tempDirectory } from './temp.ts';

/** The ledger's setting with its topics in Kafka. */
export function kafkaSetting(scope: Scope, brokers: readonly string[], { keys = '', ...options }: SettingOptions & { readonly keys?: string } = {}): Promise<Setting> {
  return ledgerSetting(scope, { ...options, log: `  type: kafka\n  brokers: [${brokers.join(', ')}]\n${keys}` });
}

/** Another process on the same connector file, as on another machine. */
export async function anotherDaemon(scope: Scope, setting: Setting): Promise<TestDaemon> {
  return TestDaemon.create(scope, await tempDirectory(scope), await readFile(setting.daemon.file, 'utf8'));
}
