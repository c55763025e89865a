import type { PipelineConfig, StreamConfig } from '../config/pipeline-schema.ts';
import type { TableSchema } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { StreamOutputs } from '../stream/outputs.ts';
import { loadStreamModule } from '../stream/stream-module.ts';
import { StreamSink } from '../stream/stream-sink.ts';
import type { StreamDefinition } from '../stream/stream.ts';

export interface LoadedStream {
  readonly sink: StreamSink;
  /** The tables that it reads, `schema.table`. */
  readonly tables: readonly string[];
  /** Those that it writes; of no version yet. */
  readonly outputs: readonly TableSchema[];
}

/** Where a stream's state is, unless the config says it. */
export function statePath(pipeline: string, stream: StreamConfig): string {
  return stream.state ?? `./data/streams/${pipeline}.${stream.name}.sqlite`;
}

export async function loadStream(config: PipelineConfig, stream: StreamConfig, to: StreamOutputs): Promise<LoadedStream> {
  const module = await loadStreamModule(stream.module);
  const sink = new StreamSink({ name: stream.name, from: stream.from, path: statePath(config.name, stream), module, outputs: to });
  const outputs = sink.shapes.map((shape) => ({ ...shape, version: { epoch: 0, number: 0 } }));
  return { sink, outputs, tables: tablesOf(module.definition) };
}

/** What a stream of this name writes; nothing where there is none, or where its module cannot be loaded, which is found out about by itself. */
export async function outputsOf(config: PipelineConfig, name: string): Promise<readonly TableSchema[]> {
  const stream = config.streams.find((candidate) => candidate.name === name);
  return stream === undefined ? [] : loadStream(config, stream, noOutputs).then(({ outputs }) => outputs, () => []);
}

/** The tables that a stream reads, `schema.table`. */
export function tablesOf({ plan }: StreamDefinition): readonly string[] {
  return plan.operators.flatMap((operator) => (operator.kind === 'table' ? [operator.table] : []));
}

/** A pattern that means this table and no other. */
export function quotedPattern(table: string): string {
  const dot = table.indexOf('.');
  return [table.slice(0, dot), table.slice(dot + 1)].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}

/** For commands that look at a stream or change its state, and publish nothing. */
export const noOutputs: StreamOutputs = {
  open: () => Promise.reject(new TailraceError('internal', 'nothing is published here')),
  onAsk: () => {},
  publish: () => Promise.reject(new TailraceError('internal', 'nothing is published here')),
  publishCopy: () => Promise.reject(new TailraceError('internal', 'nothing is published here')),
  close: async () => {},
};
