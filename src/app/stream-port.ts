import type { MessagePort } from 'node:worker_threads';
import type { StatusError } from '../pipeline/status.ts';
import type { StreamOpening, StreamPublisher, StreamStep } from '../pipeline/stream-publisher.ts';
import type { StreamChange } from '../pipeline/stream-records.ts';
import { statusError } from '../pipeline/supervision.ts';
import type { CopyAsk, StreamOutputs } from '../stream/outputs.ts';
import { questionsOver } from './control/questions.ts';
import { errorOf } from './control/thread-calls.ts';

/** From the publisher's side, without being asked. */
interface Asked {
  readonly kind: 'ask';
  readonly ask: CopyAsk;
}

type Request =
  | { readonly id: number; readonly kind: 'open'; readonly of: StreamOpening }
  | { readonly id: number; readonly kind: 'publish'; readonly changes: readonly StreamChange[]; readonly step: StreamStep; readonly last: boolean }
  | { readonly id: number; readonly kind: 'copy'; readonly ask: CopyAsk; readonly piece: CopyPiece };

type CopyPiece = Parameters<StreamOutputs['publishCopy']>[1];

/** What a stream is told when it takes its topics; nothing else has an answer. */
type Taken = Awaited<ReturnType<StreamOutputs['open']>>;

interface Reply {
  readonly kind: 'reply';
  readonly id: number;
  readonly taken: Taken | null;
  readonly error: StatusError | null;
}

/** The stream's end of the port: the publisher's thread has the log's only writer, and writes what the stream gives. */
export function outputsOver(port: MessagePort): StreamOutputs {
  const questions = questionsOver<Taken | null>(port);
  let heard: (ask: CopyAsk) => void = () => {};
  port.on('message', (message: Reply | Asked) => {
    if (message.kind === 'ask') heard(message.ask);
    else if (message.error === null) questions.answered(message.id, message.taken);
    else questions.refused(message.id, errorOf(message.error));
  });
  const ask = (request: (id: number) => Request): Promise<Taken | null> => questions.ask((id) => port.postMessage(request(id)));
  return {
    open: async (of) => (await ask((id) => ({ id, kind: 'open', of }))) as Taken,
    onAsk: (listener) => void (heard = listener),
    publish: async (changes, step, last) => void (await ask((id) => ({ id, kind: 'publish', changes, step, last }))),
    publishCopy: async (asked, piece) => void (await ask((id) => ({ id, kind: 'copy', ask: asked, piece }))),
    close: async () => {},
  };
}

/** The publisher's end; returns how the stream is told of what is asked for. */
export function serveOutputs(port: MessagePort, open: (of: StreamOpening) => Promise<StreamPublisher>): (ask: CopyAsk) => void {
  let publisher: StreamPublisher | null = null;
  const serve = async (request: Request): Promise<Taken | null> => {
    switch (request.kind) {
      case 'open': {
        publisher = await open(request.of);
        return { input: publisher.input, asks: publisher.asks };
      }
      case 'publish':
        await publisher?.publish(request.changes, request.step, request.last);
        return null;
      case 'copy':
        await publisher?.publishCopy(request.ask, request.piece);
        return null;
    }
  };
  port.on('message', (request: Request) => {
    const reply = (answer: Pick<Reply, 'taken' | 'error'>): void => port.postMessage({ kind: 'reply', id: request.id, ...answer } satisfies Reply);
    serve(request).then((taken) => reply({ taken, error: null }), (error: unknown) => reply({ taken: null, error: statusError(error) }));
  });
  return (ask) => port.postMessage({ kind: 'ask', ask } satisfies Asked);
}
