import type { PipelineConfig } from './pipeline-schema.ts';

/** What each config was made of. */
const rawValues = new WeakMap<PipelineConfig, unknown>();

/** The config that has passed its schema, frozen; `raw` is what it was made of. */
export function checkedConfig(config: PipelineConfig, raw: unknown): PipelineConfig {
  rawValues.set(deepFreeze(config), raw);
  return config;
}

/** What a loaded config was made of, in clear: for whoever reads it again with something changed. */
export function rawOf(config: PipelineConfig): unknown {
  return rawValues.get(config);
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
