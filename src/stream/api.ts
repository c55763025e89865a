/**
 * What `import … from 'tailrace'` gives: the words in which a stream is described.
 */
export { average, count, fold, max, min, multiply, sum, top, type Aggregate, type Aggregates, type Summable } from './aggregates.ts';
export type { JoinWindow, JoinWindows, LateOfJoin, OuterJoinOn, WindowJoin } from './join-windows.ts';
export { stream, type Change, type Groups, type JoinOn, type Late, type Results, type Rows, type Sources, type StreamDefinition, type WindowBounds, type WindowOptions, type Windows } from './stream.ts';
export type { Row, Value } from './value.ts';
export { hopping, session, time, tumbling, type WindowShape } from './windows.ts';
