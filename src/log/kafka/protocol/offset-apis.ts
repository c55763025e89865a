import type { GroupOffset } from '../../groups.ts';
import type { Api, RequestWriter, ResponseReader } from './wire.ts';

/* Requests about the offsets of groups. */

/** By topic, as Kafka's requests have them. */
function partitions(writer: RequestWriter, offsets: readonly GroupOffset[], write: (offset: GroupOffset) => void): void {
  const topics = new Map<string, GroupOffset[]>();
  for (const offset of offsets) topics.set(offset.topic, [...(topics.get(offset.topic) ?? []), offset]);
  writer.array(topics, ([topic, own]) => {
    writer.string(topic).array(own, write);
  });
}

/** The error of each partition. */
function partitionErrors(reader: ResponseReader): readonly number[] {
  return reader.array(() => {
    reader.string();
    return reader.array(() => {
      reader.int32();
      return reader.int16();
    });
  }).flat();
}

/** Commits from outside of the group, which then must have no members. */
export const offsetCommitApi: Api<{ readonly group: string; readonly offsets: readonly GroupOffset[] }, readonly number[]> = {
  key: 8,
  version: 5,
  name: 'OffsetCommit',
  encode(writer, { group, offsets }) {
    writer.string(group).int32(-1).string('');
    partitions(writer, offsets, ({ partition, offset }) => void writer.int32(partition).int64(offset).string(null));
  },
  decode(reader) {
    reader.int32();
    return partitionErrors(reader);
  },
};

interface FetchedOffset extends GroupOffset {
  readonly error: number;
}

/** All that a group has; -1 for a partition without one. */
export const offsetFetchApi: Api<string, { readonly error: number; readonly offsets: readonly FetchedOffset[] }> = {
  key: 9,
  version: 5,
  name: 'OffsetFetch',
  encode(writer, group) {
    writer.string(group).array<never>(null, () => {});
  },
  decode(reader) {
    reader.int32();
    const offsets = reader.array(() => {
      const topic = reader.string();
      return reader.array((): FetchedOffset => {
        const [partition, offset] = [reader.int32(), reader.int64()];
        reader.int32();
        reader.nullableString();
        return { topic, partition, offset, error: reader.int16() };
      });
    }).flat();
    return { error: reader.int16(), offsets };
  },
};

export const offsetDeleteApi: Api<{ readonly group: string; readonly offsets: readonly GroupOffset[] }, readonly number[]> = {
  key: 47,
  version: 0,
  name: 'OffsetDelete',
  encode(writer, { group, offsets }) {
    writer.string(group);
    partitions(writer, offsets, ({ partition }) => void writer.int32(partition));
  },
  decode(reader) {
    const error = reader.int16();
    reader.int32();
    return [error, ...partitionErrors(reader)];
  },
};

export const listGroupsApi: Api<null, { readonly error: number; readonly groups: readonly string[] }> = {
  key: 16,
  version: 2,
  name: 'ListGroups',
  encode() {},
  decode(reader) {
    reader.int32();
    const error = reader.int16();
    const groups = reader.array(() => {
      const group = reader.string();
      reader.string();
      return group;
    });
    return { error, groups };
  },
};

export const deleteGroupsApi: Api<string, number> = {
  key: 42,
  version: 1,
  name: 'DeleteGroups',
  encode(writer, group) {
    writer.array([group], (name) => writer.string(name));
  },
  decode(reader) {
    reader.int32();
    const [error] = reader.array(() => {
      reader.string();
      return reader.int16();
    });
    return error ?? 0;
  },
};
