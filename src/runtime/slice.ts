/**
 * Part of a buffer: `bytes[start, end)`. Passed instead of `subarray()`, whose new view a row and a field is what a
 * profile of the hot path shows first. Mutable, so that one object serves a whole batch.
 */
export interface Slice {
  bytes: Uint8Array;
  start: number;
  end: number;
}
