import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { CopyText } from './copy-text.ts';
import type { Image } from './images.ts';
import type { Sender } from './sender.ts';
import { copyInto, copyIntoStage } from './statements.ts';
import type { Target } from './target.ts';

/**
 * Sends rows by COPY. One straight into a table stays open: more rows for the same table go on in it, because a statement for a few
 * hundred rows costs the replica a tenth of what they do. `end` has to come before anything else is sent.
 */
export class RowCopier {
  readonly #sender: Sender;
  /** Of the COPY that is open. */
  #target: Target | null = null;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  get isOpen(): boolean {
    return this.#target !== null;
  }

  /** The hot path: nothing is made a row. */
  async changes(target: Target, changes: readonly RowChange<TableSchema>[]): Promise<void> {
    const { wire } = this.#sender;
    const copyText = this.#into(target);
    for (const change of changes) {
      copyText.append(wire.copyBuffer, change.bytes, change.newAt, change.end);
      if (wire.copyFull && !(await wire.copied())) break;
    }
  }

  async images(target: Target, images: readonly Image[]): Promise<void> {
    const { wire } = this.#sender;
    const copyText = this.#into(target);
    for (const { bytes, at, end } of images) {
      copyText.append(wire.copyBuffer, bytes, at, end);
      if (wire.copyFull && !(await wire.copied())) break;
    }
  }

  /** Into the staging table, each row behind the number of its group. */
  async staged(target: Target, groups: readonly (readonly [op: number, rows: readonly Image[]])[]): Promise<void> {
    const { wire } = this.#sender;
    this.#sender.run(copyIntoStage(target), { kind: 'batch', target, expected: null });
    for (const [op, rows] of groups) {
      const copyText = new CopyText({ leftOut: target.leftOut, first: op });
      for (const { bytes, at, end } of rows) {
        copyText.append(wire.copyBuffer, bytes, at, end);
        if (wire.copyFull && !(await wire.copied())) return wire.endCopy();
      }
    }
    wire.endCopy();
  }

  end(): void {
    if (this.#target !== null) this.#sender.wire.endCopy();
    this.#target = null;
  }

  /** What was collected of it is gone. */
  forget(): void {
    this.#target = null;
  }

  #into(target: Target): CopyText {
    if (this.#target !== target) {
      this.end();
      this.#sender.run(copyInto(target), { kind: 'batch', target, expected: null });
      this.#target = target;
    }
    return new CopyText({ leftOut: target.leftOut });
  }
}
