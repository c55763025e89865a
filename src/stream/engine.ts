import type { TableChanges } from '../sink/sink.ts';
import { GroupNode, WindowNode, type GroupOptions } from './group.ts';
import { JoinNode, LookupNode } from './join.ts';
import type { Emit, Node } from './node.ts';
import { OutputNode } from './output.ts';
import type { Operator, Plan } from './plan.ts';
import { SessionNode } from './session.ts';
import { hasKey, shardOf, stagesOf, type Shard, type Stage } from './shards.ts';
import type { State } from './state.ts';
import { TableInput } from './table-input.ts';
import type { Clock } from './watermark.ts';
import { WindowJoinNode } from './window-join.ts';

type Of<Kind extends Operator['kind']> = Extract<Operator, { kind: Kind }>;

/** Rows that leave one part of a plan for another one: which operator gave them. */
export type Cut = (operator: number, row: unknown, times: number) => void;

/** What of a plan is run: all of it, one shard's keys up to where other keys begin, or what lies behind the shards. */
export type EnginePart = { readonly kind: 'whole' } | { readonly kind: 'shard'; readonly shard: Shard; readonly cut: Cut } | { readonly kind: 'rest' };

/**
 * Runs a plan over a state: changes of tables go in, what the outputs have to publish stands in the state's outbox at the end of
 * each step. All of it happens inside the transaction that the caller has opened.
 */
export class Engine {
  readonly #state: State;
  readonly #nodes: (Node | null)[] = [];
  readonly #inputs = new Map<string, TableInput>();
  /** Stands until it is told whether tables are being copied. */
  readonly #clock: { stands: boolean } & Clock = { stands: true };
  readonly #consumers = new Map<number, { readonly node: number; readonly port: number }[]>();
  readonly #part: EnginePart;
  readonly #stages: readonly Stage[];
  /** Of a shard: operators whose rows leave it. */
  readonly #cuts = new Set<number>();
  /** Of a shard: whether the row that is under way is its own by the row's key, where no operator has another key. */
  #isOwn = true;
  /** Whether somebody has a use for the row that is under way. */
  #isTaken = false;

  constructor(plan: Plan, state: State, part: EnginePart = { kind: 'whole' }) {
    this.#state = state;
    this.#part = part;
    this.#stages = stagesOf(plan);
    for (const operator of plan.operators) {
      for (const [port, input] of inputsOf(operator).entries()) {
        if (part.kind === 'shard' && this.#stages[operator.id] === 'rest') {
          if (this.#stages[input] !== 'rest') this.#cuts.add(input);
          continue;
        }
        const consumers = this.#consumers.get(input) ?? [];
        consumers.push({ node: operator.id, port });
        this.#consumers.set(input, consumers);
      }
    }
    for (const operator of plan.operators) if (this.#isHere(operator)) this.#nodes[operator.id] = this.#build(operator, plan);
  }

  /** Whether the stream reads this table, `schema.table`. */
  reads(table: string): boolean {
    return this.#inputs.has(table);
  }

  apply({ table, changes, coverage, isCopied }: TableChanges, at: number): void {
    const input = this.#inputs.get(`${table.schema}.${table.name}`);
    if (input === undefined) return;
    this.#clock.stands = isCopied !== undefined && [...this.#inputs.keys()].some((read) => !isCopied(read));
    for (const change of changes) input.apply(change, { table, coverage, at });
  }

  /** A row that an operator in a shard gave; for the part that lies behind the shards. */
  deliver(operator: number, row: unknown, times: number): void {
    this.#send(this.#consumers.get(operator) ?? [], row, times);
  }

  /** Ends the step. */
  finish(): void {
    for (const node of this.#nodes) node?.flush?.();
  }

  #isHere({ id }: Operator): boolean {
    return this.#part.kind === 'whole' || (this.#stages[id] === 'rest') === (this.#part.kind === 'rest');
  }

  #build(operator: Operator, plan: Plan): Node | null {
    const emit = this.#emitOf(operator.id);
    switch (operator.kind) {
      case 'table':
        this.#inputs.set(operator.table, this.#input(operator, plan));
        return null;
      case 'changes': case 'merge': case 'late':
        return { receive: (_, row, times) => emit(row, times) };
      case 'flat-map': {
        const each = operator.each as (row: unknown) => Iterable<unknown>;
        return { receive: (_, row, times) => { for (const made of each(row)) emit(made, times); } };
      }
      case 'join':
        return this.#ofKeys(operator, new JoinNode(operator, this.#state, emit));
      case 'window-join':
        return this.#ofKeys(operator, new WindowJoinNode(operator, { state: this.#state, emit, late: this.#lateOf(plan, operator.id), clock: this.#clock }));
      case 'lookup':
        return this.#ofKeys(operator, new LookupNode(operator, this.#state, emit));
      case 'group':
        return this.#ofKeys(operator, this.#group(operator, plan));
      case 'output':
        return new OutputNode(operator.id, operator.output, this.#state);
    }
  }

  #input({ id }: Of<'table'>, plan: Plan): TableInput {
    const changes = plan.operators.filter((operator) => operator.kind === 'changes' && operator.input === id).map((operator) => operator.id);
    const consumers = (this.#consumers.get(id) ?? []).filter(({ node }) => !changes.includes(node));
    const changed = changes.map((operator) => this.#emitOf(operator));
    const emit = this.#cutting(id, consumers);
    const part = this.#part;
    const own = (identity: string): void => void (this.#isOwn = part.kind !== 'shard' || shardOf(identity, part.shard.of) === part.shard.index);
    return new TableInput({
      state: this.#state, node: id,
      // An event says what its row was before, whoever has the key of it.
      keeps: part.kind !== 'shard' || changes.length > 0 ? 'all' : 'taken',
      emit: (row, times, identity) => {
        own(identity);
        this.#isTaken = false;
        emit(row, times);
        return this.#isTaken;
      },
      changed: (change, identity) => {
        own(identity);
        for (const tell of changed) tell(change, 1);
      },
    });
  }

  /** In a shard an operator with a key gets the rows of the shard's keys; of others it hears that they came, where time goes by them. */
  #ofKeys(of: Of<'join' | 'window-join' | 'lookup' | 'group'>, node: Node): Node {
    const part = this.#part;
    if (part.kind !== 'shard') return node;
    const { shard } = part;
    const keys = ('key' in of ? [of.key] : [of.leftKey, of.rightKey]) as ((row: unknown) => unknown)[];
    return {
      receive: (port, row, times) => {
        if (!hasKey(shard, (keys[port] as (row: unknown) => unknown)(row))) return node.pass?.(port, row, times);
        this.#isTaken = true;
        node.receive(port, row, times);
      },
      flush: () => node.flush?.(),
    };
  }

  #group(operator: Of<'group'>, plan: Plan): Node {
    const { id, key, aggregates, window } = operator;
    const options: GroupOptions = { id, key, aggregates, state: this.#state, emit: this.#emitOf(id) };
    if (window === null) return new GroupNode(options);
    const emitLate = this.#lateOf(plan, id);
    const { shape } = window;
    return shape.kind === 'session' ? new SessionNode(options, { ...window, shape }, emitLate) : new WindowNode(options, { ...window, shape }, emitLate);
  }

  #lateOf(plan: Plan, id: number): Emit {
    const late = plan.operators.find((other) => other.kind === 'late' && other.input === id);
    return late === undefined ? () => {} : this.#emitOf(late.id);
  }

  /** What stands behind an operator gets its rows; `late` is told by its group or join, and `changes` by its table. */
  #emitOf(id: number): Emit {
    return this.#cutting(id, this.#consumers.get(id) ?? []);
  }

  #cutting(id: number, consumers: readonly { readonly node: number; readonly port: number }[]): Emit {
    const part = this.#part;
    if (part.kind !== 'shard' || !this.#cuts.has(id)) return (row, times) => this.#send(consumers, row, times);
    const isByRow = this.#stages[id] === 'rows';
    return (row, times) => {
      this.#send(consumers, row, times);
      if (isByRow && !this.#isOwn) return;
      if (isByRow) this.#isTaken = true;
      part.cut(id, row, times);
    };
  }

  #send(consumers: readonly { readonly node: number; readonly port: number }[], row: unknown, times: number): void {
    for (const { node, port } of consumers) this.#nodes[node]?.receive(port, row, times);
  }
}

/** The operators whose rows come in at each port. Late rows are told apart from a group's or a join's results, and come in at none. */
function inputsOf(operator: Operator): readonly number[] {
  switch (operator.kind) {
    case 'table': case 'late':
      return [];
    case 'join': case 'window-join': case 'lookup':
      return [operator.left, operator.right];
    case 'merge':
      return operator.inputs;
    case 'changes': case 'flat-map': case 'group': case 'output':
      return [operator.input];
  }
}
