import type { Sink, SinkSession } from '../../src/sink/sink.ts';

/** The real sink, with each of its replica transactions written down: tables and changes of each write, and its end. */
export function watched(sink: Sink, calls: string[], onWrite: () => void = () => {}): Sink {
  const open: Sink['open'] = async (options) => {
    const session = await sink.open(options);
    return new Proxy(session, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (name === 'write') calls.push(`${(args as Parameters<SinkSession['write']>)[0].table.name} ${(args as Parameters<SinkSession['write']>)[0].changes.length}`);
          if (name === 'begin' || name === 'commit') calls.push(name);
          const result: unknown = await (value as (...args: unknown[]) => unknown).apply(target, args);
          if (name === 'write') onWrite();
          return result;
        };
      },
    });
  };
  // That others have to wait for a SQLite file is no matter here.
  const own: Readonly<Record<string | symbol, unknown>> = { open, staysOpen: true };
  return new Proxy(sink, { get: (target, name) => own[name] ?? (Reflect.get(target, name, target) as unknown) });
}
