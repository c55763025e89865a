import { z } from 'zod';
import type { Codec } from '../codec.ts';
import { TupleCodec } from './tuple-codec.ts';

/** Nothing to set: Postgres's own bytes. */
export const tupleCodecConfig = z.strictObject({});

export function createTupleCodec(): Codec {
  return new TupleCodec();
}
