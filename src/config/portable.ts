import { TailraceError } from '../runtime/errors.ts';
import { pipelineSchema, withFormat, type PipelineConfig } from './pipeline-schema.ts';

/** What each config was made of. */
const rawValues = new WeakMap<PipelineConfig, unknown>();

/** The config that has passed its schema, frozen; `raw` is what it was made of. */
export function checkedConfig(config: PipelineConfig, raw: unknown): PipelineConfig {
  rawValues.set(deepFreeze(config), raw);
  return config;
}

/**
 * The config as plain data that can be sent to a thread, where `configFromPortable` makes the same config of it again: a
 * `Secret` does not survive `postMessage`. Holds secrets in clear: for `workerData` and nothing else.
 */
export function portableConfig(config: PipelineConfig): unknown {
  if (!rawValues.has(config)) throw new TailraceError('internal', 'a config that was not loaded here cannot be sent to a thread');
  return rawValues.get(config);
}

export function configFromPortable(portable: unknown): PipelineConfig {
  return checkedConfig(pipelineSchema.parse(withFormat(portable)) as unknown as PipelineConfig, portable);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
