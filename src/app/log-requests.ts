import { z } from 'zod';
import type { LogWriter } from '../log/log.ts';

const settings = z.record(z.string(), z.string().nullable());

/** What a log can be asked for from outside of the pipeline that writes it; also as JSON, to its daemon. */
export const logRequest = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('create'), topic: z.string(), partitions: z.int().min(1), replication: z.int().min(1).nullable(), settings }),
  z.strictObject({ do: z.literal('alter'), topic: z.string(), partitions: z.int().min(1).nullable(), settings }),
  z.strictObject({ do: z.literal('delete'), topic: z.string() }),
]);

export type LogRequest = z.output<typeof logRequest>;

/** Whether it was done: a topic may be there already, or not be there. */
export interface LogReply {
  readonly done: boolean;
}

export async function performOnLog(writer: LogWriter, request: LogRequest): Promise<LogReply> {
  const there = writer.topics().some(({ topic }) => topic === request.topic);
  switch (request.do) {
    case 'create':
      if (there) return { done: false };
      await writer.createTopic({ topic: request.topic, partitions: request.partitions }, { replication: request.replication ?? undefined, settings: request.settings });
      return { done: true };
    case 'alter':
      if (!there) return { done: false };
      await writer.alterTopic(request.topic, { partitions: request.partitions ?? undefined, settings: request.settings });
      return { done: true };
    case 'delete':
      if (!there) return { done: false };
      await writer.deleteTopic(request.topic);
      return { done: true };
  }
}
