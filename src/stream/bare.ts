/**
 * An object for names that may be anything: it inherits nothing, and unlike one of `Object.create(null)` objects with the same names
 * share one shape in the engine, so that reading and writing them is not a look-up in a hash table.
 */
export function bareObject<Value>(): Record<string, Value> {
  return new (Bare as unknown as new () => Record<string, Value>)();
}

// A function of the old kind: a class's prototype cannot be replaced.
function Bare(): void {}
Bare.prototype = Object.create(null) as object;

export function isBare(prototype: unknown): boolean {
  return prototype === null || prototype === Bare.prototype;
}
