/**
 * Works on items, a few at a time, and hands the results out in the order of the items, each as soon as those before it are
 * there. After an error nothing more is begun; it is thrown when everything that was begun has ended.
 */
export async function eachInOrder<T, R>(
  items: readonly T[],
  { limit, work, done }: { readonly limit: number; readonly work: (item: T) => Promise<R>; readonly done: (result: R) => void },
): Promise<void> {
  const results = new Map<number, R>();
  let next = 0;
  let told = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const i = next++;
      try {
        results.set(i, await work(items[i] as T));
        for (; results.has(told); told++) done(results.get(told) as R);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: limit }, worker));
  for (const end of ended) if (end.status === 'rejected') throw end.reason as Error;
}
