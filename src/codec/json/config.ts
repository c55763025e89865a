import { z } from 'zod';

/** What stands behind `format: { type: json }`. */
export const jsonCodecConfig = z.strictObject({
  schemas: z
    .boolean()
    .default(false)
    .describe('Whether each key and each value carries its schema, as Kafka Connect\'s JsonConverter with schemas.enable=true writes and reads them: for sink connectors, which need types. Records become several times as large.'),
});

export type JsonCodecConfig = z.output<typeof jsonCodecConfig>;
