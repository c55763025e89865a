import type { Codec } from '../codec.ts';
import { TupleCodec } from './tuple-codec.ts';

export function createTupleCodec(): Codec {
  return new TupleCodec();
}
