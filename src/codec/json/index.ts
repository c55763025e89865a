import type { Codec } from '../codec.ts';
import { JsonCodec } from './json-codec.ts';

export function createJsonCodec(): Codec {
  return new JsonCodec();
}
