import type { Api } from './wire.ts';

/* Requests of a consumer group's members, by which workers agree who does what. */

export const findCoordinatorApi: Api<string, { readonly error: number; readonly id: number; readonly host: string; readonly port: number }> = {
  key: 10,
  version: 2,
  name: 'FindCoordinator',
  encode(writer, group) {
    writer.string(group).int8(0);
  },
  decode(reader) {
    reader.int32();
    const error = reader.int16();
    reader.nullableString();
    return { error, id: reader.int32(), host: reader.string(), port: reader.int32() };
  },
};

export interface JoinRequest {
  readonly group: string;
  /** Empty for one that joins for the first time. */
  readonly member: string;
  readonly sessionTimeout: number;
  readonly rebalanceTimeout: number;
  /** What the others see of this member. */
  readonly metadata: Uint8Array;
}

export interface Joined {
  readonly error: number;
  readonly generation: number;
  readonly leader: string;
  readonly member: string;
  /** For the leader alone. */
  readonly members: readonly { readonly id: string; readonly metadata: Buffer }[];
}

const protocolType = 'tailrace';

export const joinGroupApi: Api<JoinRequest, Joined> = {
  key: 11,
  version: 5,
  name: 'JoinGroup',
  encode(writer, { group, member, sessionTimeout, rebalanceTimeout, metadata }) {
    writer.string(group).int32(sessionTimeout).int32(rebalanceTimeout).string(member).string(null).string(protocolType);
    writer.int32(1).string('lease').bytes(metadata);
  },
  decode(reader) {
    reader.int32();
    const [error, generation] = [reader.int16(), reader.int32()];
    reader.nullableString();
    const [leader, member] = [reader.string(), reader.string()];
    const members = reader.array(() => {
      const id = reader.string();
      reader.nullableString();
      return { id, metadata: reader.bytes() };
    });
    return { error, generation, leader, member, members };
  },
};

export interface MemberRequest {
  readonly group: string;
  readonly generation: number;
  readonly member: string;
}

export interface SyncRequest extends MemberRequest {
  /** From the leader alone; empty from the others. */
  readonly assignments: readonly { readonly member: string; readonly assignment: Uint8Array }[];
}

export const syncGroupApi: Api<SyncRequest, { readonly error: number; readonly assignment: Buffer }> = {
  key: 14,
  version: 3,
  name: 'SyncGroup',
  encode(writer, { group, generation, member, assignments }) {
    writer.string(group).int32(generation).string(member).string(null);
    writer.array(assignments, (to) => writer.string(to.member).bytes(to.assignment));
  },
  decode(reader) {
    reader.int32();
    return { error: reader.int16(), assignment: reader.bytes() };
  },
};

export const heartbeatApi: Api<MemberRequest, number> = {
  key: 12,
  version: 3,
  name: 'Heartbeat',
  encode(writer, { group, generation, member }) {
    writer.string(group).int32(generation).string(member).string(null);
  },
  decode(reader) {
    reader.int32();
    return reader.int16();
  },
};

export const leaveGroupApi: Api<Omit<MemberRequest, 'generation'>, number> = {
  key: 13,
  version: 3,
  name: 'LeaveGroup',
  encode(writer, { group, member }) {
    writer.string(group).int32(1).string(member).string(null);
  },
  decode(reader) {
    reader.int32();
    return reader.int16();
  },
};
