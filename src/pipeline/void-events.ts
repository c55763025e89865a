import { isAfter } from '../event/position.ts';
import type { Place } from './control-records.ts';

/**
 * Events that a sink passes over, because its replica refuses some of them and none of them counts in the end (renewal.ts). By the table's
 * relid, and never by a name: that may go to another table meanwhile, whose rows are wanted.
 */
export class VoidEvents {
  readonly #before = new Map<number, Place>();

  covers(relid: number, place: Place): boolean {
    if (this.#before.size === 0) return false;
    const before = this.#before.get(relid);
    return before !== undefined && isAfter(before, place);
  }

  /** Whatever the table has before this place. */
  add(relid: number, before: Place): void {
    this.#before.set(relid, before);
  }

  /** Nothing from before this place comes again. */
  passed(place: Place): void {
    for (const [relid, before] of this.#before) if (!isAfter(before, place)) this.#before.delete(relid);
  }
}
