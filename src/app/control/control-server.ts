import { chmod, lstat, mkdir, rm, rmdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { statusError } from '../../pipeline/supervision.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { serveSocket, type SocketHandler, type SocketServer } from '../../runtime/http-socket.ts';
import type { Logger } from '../../runtime/logger.ts';
import { requests, type CommandName, type Handlers } from './commands.ts';
import type { SocketPlace } from './place.ts';

/** How often a place is tried that somebody else has. */
const retryInterval = 500;

/**
 * Listens for commands to one pipeline, on a socket that only its user can open: the rights of the file are the login. It is
 * opened by who has the pipeline's log, so that what a killed daemon left behind is nobody's, and is taken over. Where the
 * place cannot be used the pipeline runs all the same, and says once that it takes no commands.
 */
export class ControlServer {
  readonly #place: SocketPlace;
  readonly #handlers: Readonly<Record<string, SocketHandler>>;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(place: SocketPlace, handlers: Handlers<CommandName>, logger: Logger) {
    this.#place = place;
    this.#handlers = Object.fromEntries(Object.keys(requests).map((name) => [`/${name}`, (body) => checked(name as CommandName, body, handlers)]));
    this.#logger = logger;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let said = false;
    while (!signal.aborted) {
      const opened = await this.#open().catch((error: unknown) => error as Error);
      if (!(opened instanceof Error)) {
        // It may have been closed while it opened.
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        await opened.close();
        await rmdir(this.#place.folder).catch(() => undefined);
        return;
      }
      if (!said) this.#logger.warn({ err: opened, folder: this.#place.folder }, 'commands to this daemon cannot be taken; set TAILRACE_RUNTIME_DIR to a folder that can be written');
      said = true;
      await delay(retryInterval, undefined, { signal }).catch(() => undefined);
    }
  }

  async #open(): Promise<SocketServer> {
    const { folder, socket } = this.#place;
    await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await refuseForeign(folder);
    const options = { handlers: this.#handlers, describe: statusError };
    let server: SocketServer;
    try {
      server = await serveSocket(socket, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (await isAlive(socket)) throw new TailraceError('daemon-unreachable', `another process listens at ${socket}`, { cause: error });
      await rm(socket, { force: true });
      server = await serveSocket(socket, options);
    }
    await chmod(socket, 0o600);
    return server;
  }
}

/** /tmp is everybody's: what stands at our place must be ours, or somebody else would take our commands. */
export async function refuseForeign(folder: string): Promise<void> {
  const found = await lstat(folder);
  const own = process.getuid?.();
  if (found.isDirectory() && (own === undefined || found.uid === own) && (found.mode & 0o077) === 0) return;
  throw new TailraceError('daemon-unreachable', `${folder} is not a folder that belongs to this user alone`, { remedy: 'Remove it, or set TAILRACE_RUNTIME_DIR for the daemon and its commands to a folder that nobody else can write.' });
}

function isAlive(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ path: socket });
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}

async function checked(name: CommandName, body: unknown, handlers: Handlers<CommandName>): Promise<unknown> {
  const parsed = requests[name].safeParse(body);
  if (!parsed.success) throw new TailraceError('daemon-unreachable', `the daemon does not understand the command ${name}: it is of another version`);
  return (handlers[name] as (request: unknown) => Promise<unknown>)(parsed.data);
}
