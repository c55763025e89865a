import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** `up`: from the client to the server; `down`: from the server to the client. */
export type Direction = 'up' | 'down';

interface Stop {
  readonly text: string;
  readonly reached: (goOn: () => void) => void;
}

/**
 * A network that can be spoiled between a client and a real server on 127.0.0.1. Everything may be changed while
 * connections are open.
 */
export class TcpProxy {
  /** Bytes that went through, and bytes that a blackhole swallowed: a test must see that its fault happened. */
  readonly forwarded = { up: 0, down: 0 };
  readonly swallowed = { up: 0, down: 0 };
  connections = 0;
  readonly #server: Server;
  readonly #pairs = new Set<{ client: Socket; server: Socket }>();
  readonly #delayMs = { up: 0, down: 0 };
  readonly #blackhole = { up: false, down: false };
  readonly #target: { host: string; port: number };
  #refuse = false;
  #stop: Stop | undefined;
  #chunk: (() => number) | undefined;

  private constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer({ pauseOnConnect: true }, (client) => this.#accept(client));
  }

  static async start(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy({ host: target.host, port: target.port });
    await new Promise<void>((done, fail) => proxy.#server.once('error', fail).listen(0, '127.0.0.1', done));
    return proxy;
  }

  /** In front of the server that a URL names. */
  static before(url: string): Promise<TcpProxy> {
    return TcpProxy.start({ host: '127.0.0.1', port: Number(new URL(url).port) });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The same URL, by way of the proxy. */
  through(url: string): string {
    const proxied = new URL(url);
    proxied.hostname = '127.0.0.1';
    proxied.port = String(this.port);
    return proxied.href;
  }

  /** Each chunk is held back for so long; the order stays. */
  delay(direction: Direction, milliseconds: number): void {
    this.#delayMs[direction] = milliseconds;
  }

  /** On: bytes vanish and the connection stays open, as behind a dead router. What was swallowed never comes. */
  blackhole(direction: Direction | 'both', on = true): void {
    if (direction !== 'down') this.#blackhole.up = on;
    if (direction !== 'up') this.#blackhole.down = on;
  }

  /**
   * The first connection whose client sends this text may send no more behind it. Resolves when it would, with what lets it go on:
   * until then the client has the answer to the text, and the server has heard nothing else.
   */
  holdAfter(text: string): Promise<() => void> {
    return new Promise((reached) => (this.#stop = { text, reached }));
  }

  /** Cuts every chunk into pieces of 1 to `largest` bytes, from a seeded generator, to find readers that trust in boundaries. */
  randomChunks(largest: number, seed = 1): void {
    let state = seed >>> 0;
    this.#chunk = () => {
      // A linear congruential generator (Numerical Recipes): the same seed gives the same pieces.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return 1 + (state % largest);
    };
  }

  /** Ends every open connection by RST, on both sides; new ones are served. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Ends every open connection by FIN, in the middle of whatever is under way: the end of a process that was killed. */
  end(): void {
    for (const { client, server } of this.#pairs) {
      client.end();
      server.end();
    }
  }

  /** On: new connections are reset at once. Open ones live on. */
  refuse(on = true): void {
    this.#refuse = on;
  }

  async close(): Promise<void> {
    this.reset();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }

  #accept(client: Socket): void {
    this.connections += 1;
    // Errors are the point here: each is followed by 'close', which ends the other half.
    client.on('error', () => {});
    if (this.#refuse) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, noDelay: true });
    server.on('error', () => client.resetAndDestroy());
    const pair = { client: client.setNoDelay(true), server };
    this.#pairs.add(pair);
    client.on('close', () => {
      this.#pairs.delete(pair);
      server.destroy();
    });
    server.on('close', () => client.destroySoon());
    void this.#pump(client, server, 'up');
    void this.#pump(server, client, 'down');
  }

  async #pump(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      let stop: Stop | undefined;
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (stop !== undefined) await new Promise<void>(stop.reached);
        stop = undefined;
        if (direction === 'up' && this.#stop !== undefined && chunk.includes(this.#stop.text)) [stop, this.#stop] = [this.#stop, undefined];
        if (this.#delayMs[direction] > 0) await delay(this.#delayMs[direction]);
        if (this.#blackhole[direction]) this.swallowed[direction] += chunk.length;
        else await this.#forward(chunk, to, direction);
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  async #forward(chunk: Buffer, to: Socket, direction: Direction): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + (this.#chunk?.() ?? chunk.length));
      // Waiting for each write keeps the pieces apart and passes back-pressure on.
      await new Promise<void>((done, fail) => to.write(piece, (error) => (error ? fail(error) : done())));
      at += piece.length;
      this.forwarded[direction] += piece.length;
    }
  }
}
