import { z } from 'zod';
import type { Codec } from '../codec.ts';
import { JsonCodec } from './json-codec.ts';

export const jsonCodecConfig = z.strictObject({});

export function createJsonCodec(): Codec {
  return new JsonCodec();
}
