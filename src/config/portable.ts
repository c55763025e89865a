import { Secret } from '../runtime/secret.ts';
import { deepFreeze } from './checked.ts';
import type { PipelineConfig } from './pipeline-schema.ts';

/**
 * The config as plain data that can be sent to a thread, where `configFromPortable` makes the same config of it again, without the
 * schemas: a `Secret` does not survive `postMessage`, and travels as a map, which a config has nowhere. Holds secrets in clear: for
 * `workerData` and nothing else.
 */
export function portableConfig(config: PipelineConfig): unknown {
  return mapped(config, (value) => (value instanceof Secret ? new Map([['secret', value.reveal()]]) : undefined));
}

export function configFromPortable(portable: unknown): PipelineConfig {
  return deepFreeze(mapped(portable, (value) => (value instanceof Map ? new Secret(String(value.get('secret'))) : undefined))) as PipelineConfig;
}

/** A copy in which objects are what `replace` makes of them, where it does. */
function mapped(value: unknown, replace: (value: object) => object | undefined): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((inner) => mapped(inner, replace));
  return replace(value) ?? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapped(inner, replace)]));
}
