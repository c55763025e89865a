import { z } from 'zod';

/** Bytes are base64; a null partition is that of the key. */
const record = z.strictObject({
  key: z.string().nullable(),
  value: z.string().nullable(),
  headers: z.array(z.tuple([z.string(), z.string()]).readonly()).readonly(),
  /** Milliseconds since 1970. */
  timestamp: z.int().min(0),
  partition: z.int().min(0).nullable(),
});

export type ProducedRecord = z.output<typeof record>;

const settings = z.record(z.string(), z.string().nullable());

/** What a log can be asked for from outside of the pipeline that writes it; also as JSON, to its daemon. */
export const logRequest = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('create'), topic: z.string(), partitions: z.int().min(1), replication: z.int().min(1).nullable(), settings }),
  z.strictObject({ do: z.literal('alter'), topic: z.string(), partitions: z.int().min(1).nullable(), settings }),
  z.strictObject({ do: z.literal('delete'), topic: z.string() }),
  /** `end`: only if the first partition still ends there; else nothing is done. */
  z.strictObject({ do: z.literal('append'), topic: z.string(), records: z.array(record).readonly(), end: z.int().min(0).optional() }),
  z.strictObject({ do: z.literal('compact'), topic: z.string(), deleteRetention: z.int().min(0) }),
]);

export type LogRequest = z.output<typeof logRequest>;
