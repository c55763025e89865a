import type { MessagePort } from 'node:worker_threads';
import type { StatusError } from '../pipeline/status.ts';
import type { StreamOpening, StreamPublisher, StreamChange, StreamStep } from '../pipeline/stream-publisher.ts';
import { statusError } from '../pipeline/supervision.ts';
import type { InputPlace, StreamOutputs } from '../stream/outputs.ts';
import { errorOf } from './control/thread-calls.ts';

type Request =
  | { readonly id: number; readonly kind: 'open'; readonly of: StreamOpening }
  | { readonly id: number; readonly kind: 'publish'; readonly changes: readonly StreamChange[]; readonly step: StreamStep; readonly last: boolean };

interface Reply {
  readonly id: number;
  readonly input: InputPlace | null;
  readonly error: StatusError | null;
}

/** The stream's end of the port: the publisher's thread has the log's only writer, and writes what the stream gives. */
export function outputsOver(port: MessagePort): StreamOutputs {
  const waiting = new Map<number, { resolve: (input: InputPlace | null) => void; reject: (error: Error) => void }>();
  let next = 0;
  port.on('message', ({ id, input, error }: Reply) => {
    const request = waiting.get(id);
    waiting.delete(id);
    if (error === null) request?.resolve(input);
    else request?.reject(errorOf(error));
  });
  const ask = (request: (id: number) => Request): Promise<InputPlace | null> =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      port.postMessage(request(id));
    });
  return {
    open: (of) => ask((id) => ({ id, kind: 'open', of })),
    publish: async (changes, step, last) => void (await ask((id) => ({ id, kind: 'publish', changes, step, last }))),
    close: async () => {},
  };
}

/** The publisher's end. */
export function serveOutputs(port: MessagePort, open: (of: StreamOpening) => Promise<StreamPublisher>): void {
  let publisher: StreamPublisher | null = null;
  const serve = async (request: Request): Promise<InputPlace | null> => {
    if (request.kind === 'open') return (publisher = await open(request.of)).input;
    await publisher?.publish(request.changes, request.step, request.last);
    return null;
  };
  port.on('message', (request: Request) => {
    const reply = (answer: Omit<Reply, 'id'>): void => port.postMessage({ id: request.id, ...answer } satisfies Reply);
    serve(request).then((input) => reply({ input, error: null }), (error: unknown) => reply({ input: null, error: statusError(error) }));
  });
}
