import type { Lsn } from '../../event/lsn.ts';

/** From Postgres's epoch, 2000-01-01, in milliseconds since 1970. */
const postgresEpoch = 946_684_800_000;

/**
 * "Standby status update" inside CopyData. Written, flushed and applied are all the same position: the end LSN of the last
 * durable transaction, never one past it, because the next commit record may begin exactly there (DESIGN, Facts measured).
 */
export function statusUpdate(position: Lsn, replyRequested: boolean): Uint8Array {
  const message = Buffer.allocUnsafeSlow(39);
  message[0] = 0x64; // d
  message.writeUInt32BE(38, 1);
  message[5] = 0x72; // r
  for (const at of [6, 14, 22]) message.writeBigUInt64BE(position, at);
  message.writeBigInt64BE(BigInt(Date.now() - postgresEpoch) * 1000n, 30);
  message[38] = replyRequested ? 1 : 0;
  return message;
}

/** CopyDone, and Terminate. */
export const copyDone: Uint8Array = Buffer.from([0x63, 0, 0, 0, 4]);
export const terminate: Uint8Array = Buffer.from([0x58, 0, 0, 0, 4]);

/** A simple query. */
export function queryMessage(text: string): Uint8Array {
  const body = Buffer.from(text, 'utf8');
  const message = Buffer.alloc(6 + body.length);
  message[0] = 0x51; // Q
  message.writeUInt32BE(5 + body.length, 1);
  body.copy(message, 5);
  return message;
}

/** Whether a chunk ends in a keepalive that wants an answer: seen when it arrives, however late it is decoded. */
export function endsInReplyRequest(chunk: Uint8Array): boolean {
  const at = chunk.length - 23;
  return (
    at >= 0 && chunk[at] === 0x64 && chunk[at + 1] === 0 && chunk[at + 2] === 0 && chunk[at + 3] === 0 && chunk[at + 4] === 22 &&
    chunk[at + 5] === 0x6b && chunk[at + 22] === 1
  );
}
