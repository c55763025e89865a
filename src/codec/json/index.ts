import type { Codec } from '../codec.ts';
import type { JsonCodecConfig } from './config.ts';
import { JsonCodec } from './json-codec.ts';

export function createJsonCodec(config: JsonCodecConfig = { schemas: false }): Codec {
  return new JsonCodec(config);
}
