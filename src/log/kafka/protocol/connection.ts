import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls';
import { TailraceError } from '../../../runtime/errors.ts';
import { authenticate, type Credentials } from './sasl.ts';
import { RequestWriter, ResponseReader, type Api } from './wire.ts';

export interface ConnectionOptions {
  readonly clientId: string;
  readonly tls: TlsOptions | undefined;
  readonly sasl: Credentials | undefined;
  /** Milliseconds until a connection must stand, and until a request must be answered. */
  readonly connectTimeout: number;
  readonly requestTimeout: number;
}

interface Pending {
  readonly resolve: (answer: Buffer) => void;
  readonly reject: (error: TailraceError) => void;
  readonly timer: NodeJS.Timeout;
}

/** No answer that was asked for here is larger: a length above it is no length, but another protocol. */
const longestAnswer = 1 << 30;

/**
 * One connection to one broker. Requests may be called side by side: the broker takes them one after the other, and answers in
 * order. When it breaks, or an answer does not come in time, everything that waits is rejected and it is closed for good:
 * nobody knows then what the broker has done, and callers decide whether a request may be sent again.
 */
export class Connection {
  readonly address: string;
  readonly #clientId: string;
  readonly #requestTimeout: number;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #frames = new Frames();
  #correlation = 0;
  #failure: TailraceError | undefined;
  #renewAt = Number.POSITIVE_INFINITY;

  private constructor(socket: Socket, address: string, options: ConnectionOptions) {
    this.address = address;
    this.#clientId = options.clientId;
    this.#requestTimeout = options.requestTimeout;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('error', (error) => this.#fail(unreachable(address, error)));
    socket.on('close', () => this.#fail(new TailraceError('log-unreachable', `the Kafka broker at ${address} has closed the connection`)));
  }

  /** Connects and logs in. Throws `log-unreachable` or `log-refused`. */
  static async open(host: string, port: number, options: ConnectionOptions): Promise<Connection> {
    const address = `${host}:${port}`;
    const connection = new Connection(await connectSocket(host, port, options), address, options);
    try {
      if (options.sasl !== undefined) {
        const lifetime = await authenticate(connection, options.sasl);
        if (lifetime > 0) connection.#renewAt = Date.now() + lifetime * 0.8;
      }
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** False once it is broken, or when a login that expires is about to: then another one is opened. */
  get isUsable(): boolean {
    return this.#failure === undefined && Date.now() < this.#renewAt;
  }

  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  async call<Request, Response>(api: Api<Request, Response>, request: Request, timeout = this.#requestTimeout): Promise<Response> {
    if (this.#failure !== undefined) throw this.#failure;
    const correlation = (this.#correlation = (this.#correlation + 1) & 0x7fff_ffff);
    const body = new RequestWriter().int16(api.key).int16(api.version).int32(correlation).string(this.#clientId);
    api.encode(body, request);
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const late = (): void => this.#fail(new TailraceError('log-unreachable', `the Kafka broker at ${this.address} has not answered ${api.name} within ${timeout / 1000} s`));
      this.#pending.set(correlation, { resolve, reject, timer: setTimeout(late, timeout) });
      this.#send(body);
    });
    return api.decode(new ResponseReader(answer, 4));
  }

  close(): void {
    this.#fail(new TailraceError('log-unreachable', 'the connection to Kafka is closed'));
  }

  #send(body: RequestWriter): void {
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(body.length);
    this.#socket.cork();
    this.#socket.write(length);
    for (const part of body.parts) this.#socket.write(part);
    this.#socket.uncork();
  }

  #received(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.take(chunk)) {
        const pending = this.#pending.get(frame.readInt32BE(0));
        this.#pending.delete(frame.readInt32BE(0));
        clearTimeout(pending?.timer);
        pending?.resolve(frame);
      }
    } catch {
      this.#fail(new TailraceError('log-unreachable', `what listens at ${this.address} does not speak Kafka's protocol, or speaks TLS where none is configured`));
    }
  }

  #fail(error: TailraceError): void {
    this.#failure ??= error;
    this.#socket.destroy();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.#failure);
    }
    this.#pending.clear();
  }
}

/** Puts the chunks of a socket together to frames: each has its length in front. */
class Frames {
  #head: Buffer = Buffer.alloc(0);
  #frame: Buffer | undefined;
  #filled = 0;

  *take(chunk: Buffer): Generator<Buffer> {
    let at = 0;
    if (this.#head.length > 0) {
      chunk = Buffer.concat([this.#head, chunk]);
      this.#head = Buffer.alloc(0);
    }
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        if (chunk.length - at < 4) {
          this.#head = chunk.subarray(at);
          return;
        }
        const length = chunk.readInt32BE(at);
        if (length < 4 || length > longestAnswer) throw new RangeError('not a frame');
        at += 4;
        // Most answers come in one chunk: a view of it will do.
        if (chunk.length - at >= length) {
          yield chunk.subarray(at, at + length);
          at += length;
          continue;
        }
        this.#frame = Buffer.allocUnsafeSlow(length);
        this.#filled = 0;
      }
      const copied = chunk.copy(this.#frame, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < this.#frame.length) return;
      const whole = this.#frame;
      this.#frame = undefined;
      yield whole;
    }
  }
}

function connectSocket(host: string, port: number, { tls, connectTimeout }: ConnectionOptions): Promise<Socket> {
  const address = `${host}:${port}`;
  return new Promise((resolve, reject) => {
    const socket = tls === undefined ? connectPlain({ host, port }) : connectTls({ servername: serverName(host), ...tls, host, port });
    const timer = setTimeout(() => settle(new TailraceError('log-unreachable', `the Kafka broker at ${address} does not answer within ${connectTimeout / 1000} s`)), connectTimeout);
    const settle = (error?: TailraceError): void => {
      clearTimeout(timer);
      socket.removeListener('error', onError);
      if (error === undefined) return resolve(socket);
      // Whatever comes now is of no interest, but must not be uncaught.
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void => settle(unreachable(address, error));
    socket.once('error', onError);
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => settle());
  });
}

/** The name that the broker's certificate must have; an address cannot be one. */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host;
}

function unreachable(address: string, error: Error): TailraceError {
  const { code } = error as NodeJS.ErrnoException;
  const isCertificate = code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code);
  const what = isCertificate ? `the certificate of the Kafka broker at ${address} is not accepted: ${error.message}` : `the Kafka broker at ${address} cannot be reached: ${error.message}`;
  return new TailraceError(isCertificate ? 'log-refused' : 'log-unreachable', what, { cause: error });
}
