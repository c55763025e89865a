import { encodeValue } from './canonical.ts';
import type { Operator, Plan } from './plan.ts';

/** One of the parts in which a stream's keys are dealt out. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

/** Which shard has a key, by the text of it: the same one in every version of this program, because states are made by it. */
export function shardOf(text: string, of: number): number {
  // FNV-1a over UTF-16 units, mixed once more: its low bits alone follow the last characters.
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) % of;
}

export function hasKey({ index, of }: Shard, key: unknown): boolean {
  return shardOf(encodeValue(key), of) === index;
}

/**
 * Where an operator is computed when a stream is spread (ADR 64): `rows` in every shard, as it has no state; `keyed` in the shard that
 * has the key; `rest` in one place, behind all shards, as its key is another one than the rows were dealt out by.
 */
export type Stage = 'rows' | 'keyed' | 'rest';

/** By the operators' numbers. */
export function stagesOf({ operators }: Plan): readonly Stage[] {
  const stages: Stage[] = [];
  for (const operator of operators) stages[operator.id] = stageOf(operator, (input) => stages[input] as Stage);
  return stages;
}

function stageOf(operator: Operator, of: (input: number) => Stage): Stage {
  switch (operator.kind) {
    case 'table':
      return 'rows';
    case 'changes': case 'flat-map':
      return of(operator.input);
    case 'merge': {
      const [first = 'rest', ...others] = operator.inputs.map(of);
      return others.every((other) => other === first) ? first : 'rest';
    }
    // A group or a join, which tells it where it is itself.
    case 'late':
      return of(operator.input);
    case 'join': case 'window-join': case 'lookup':
      return of(operator.left) === 'rows' && of(operator.right) === 'rows' ? 'keyed' : 'rest';
    case 'group':
      return of(operator.input) === 'rows' ? 'keyed' : 'rest';
    case 'output':
      return 'rest';
  }
}
