import { consume } from '../../src/app/consume.ts';
import type { RecordView, RowView } from '../../src/app/event-view.ts';
import type { PipelineConfig } from '../../src/config/pipeline-schema.ts';

/** A table as a reader of its topic alone has it at the end, who is given whole rows (`consume --whole`) and knows nothing but keys. */
export interface TopicState {
  /** Rows as texts of these columns, sorted. */
  rows(columns: readonly string[]): readonly string[];
  /** Updates that could not be completed. */
  readonly incomplete: readonly string[];
}

export async function stateOfTopic(config: PipelineConfig, topic: string): Promise<TopicState> {
  const keyed = new Map<string, RowView>();
  const counted = new Map<string, { readonly row: RowView; count: number }>();
  const incomplete: string[] = [];
  const count = (row: RowView, by: 1 | -1): void => {
    const name = JSON.stringify(row);
    const entry = counted.get(name) ?? { row, count: 0 };
    entry.count += by;
    counted.set(name, entry);
  };
  const onRecord = ({ op, half, key, before, after, absent, offset }: RecordView): void => {
    if (half === 'old' || op === undefined || op === 'tombstone') return;
    if (absent !== undefined) incomplete.push(`offset ${offset} lacks ${absent.join(', ')}`);
    if (op === 't') {
      keyed.clear();
      counted.clear();
    } else if (key == null) {
      if (before != null) count(before, -1);
      if (after != null) count(after, 1);
    } else {
      const old = before == null ? key : Object.fromEntries(Object.keys(key).map((column) => [column, before[column] ?? null]));
      keyed.delete(JSON.stringify(old));
      if (after != null) keyed.set(JSON.stringify(key), after);
    }
  };
  await consume([config], { topic, partition: undefined, from: { at: 'beginning' }, max: Infinity, until: Infinity, follow: false, whole: true, signal: new AbortController().signal, onRecord });
  const all = [...keyed.values(), ...[...counted.values()].flatMap(({ row, count: times }) => Array.from({ length: Math.max(0, times) }, () => row))];
  return { incomplete, rows: (columns) => all.map((row) => JSON.stringify(columns.map((column) => row[column] ?? null))).toSorted() };
}
