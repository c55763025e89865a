import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for a state in place of a time: calls `fn` until it returns something truthy, and returns that. An exception
 * counts as "not yet". At the deadline it throws, naming `what`, as it is by then, and the last exception or value.
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly what?: string | (() => string) } = {},
): Promise<NonNullable<T>> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  // Not by the clock, of which a test may have taken hold.
  const deadline = performance.now() + timeoutMs;
  for (let pause = 5; ; pause = Math.min(pause * 1.5, 100)) {
    let last: unknown;
    try {
      const value = await fn();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      const what = typeof options.what === 'function' ? options.what() : (options.what ?? 'the condition');
      throw new Error(`${what} did not come true within ${timeoutMs} ms; last: ${String(last)}`, { cause: last });
    }
    await delay(pause);
  }
}
