import { z } from 'zod';
import type { Codec } from '../codec.ts';
import { AvroCodec } from './avro-codec.ts';
import { OwnRegistrar } from './registrar.ts';

export const avroCodecConfig = z.strictObject({
  types: z
    .enum(['natural', 'text'])
    .default('natural')
    .describe("How dates, times and numeric(p, s) stand: natural, as Avro's types, where a value that they cannot say (infinity, NaN) is null and stands in the record's header; or text, as Postgres writes them."),
});

export function createAvroCodec(config: z.output<typeof avroCodecConfig>): Codec {
  return new AvroCodec(new OwnRegistrar(), config.types);
}
