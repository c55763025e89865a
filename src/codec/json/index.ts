import { z } from 'zod';
import type { Codec } from '../codec.ts';
import { JsonCodec } from './json-codec.ts';

/** What stands behind `format: { type: json }`. */
export const jsonCodecConfig = z.strictObject({
  schemas: z
    .boolean()
    .default(false)
    .describe('Whether each key and each value carries its schema, as Kafka Connect\'s JsonConverter with schemas.enable=true writes and reads them: for sink connectors, which need types. Records become several times as large.'),
});

export function createJsonCodec(config: z.output<typeof jsonCodecConfig> = { schemas: false }): Codec {
  return new JsonCodec(config);
}
