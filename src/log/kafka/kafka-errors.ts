import { TailraceError } from '../../runtime/errors.ts';

/**
 * Kafka's error codes (https://kafka.apache.org/protocol#protocol_error_codes), those that are told apart. `moved`: another broker
 * leads, or none at the moment; look again and repeat. `busy`: the same broker, a little later. `writer`: what this producer wrote before is not what the broker has.
 */
type Kind = 'moved' | 'busy' | 'writer' | 'rights' | 'settings' | 'other';

const codes: Readonly<Record<number, readonly [name: string, kind: Kind]>> = {
  1: ['OFFSET_OUT_OF_RANGE', 'other'],
  2: ['CORRUPT_MESSAGE', 'busy'],
  3: ['UNKNOWN_TOPIC_OR_PARTITION', 'moved'],
  5: ['LEADER_NOT_AVAILABLE', 'moved'],
  6: ['NOT_LEADER_OR_FOLLOWER', 'moved'],
  7: ['REQUEST_TIMED_OUT', 'busy'],
  8: ['BROKER_NOT_AVAILABLE', 'moved'],
  9: ['REPLICA_NOT_AVAILABLE', 'moved'],
  10: ['MESSAGE_TOO_LARGE', 'other'],
  13: ['NETWORK_EXCEPTION', 'moved'],
  14: ['COORDINATOR_LOAD_IN_PROGRESS', 'busy'],
  15: ['COORDINATOR_NOT_AVAILABLE', 'moved'],
  16: ['NOT_COORDINATOR', 'moved'],
  17: ['INVALID_TOPIC_EXCEPTION', 'settings'],
  18: ['RECORD_LIST_TOO_LARGE', 'other'],
  19: ['NOT_ENOUGH_REPLICAS', 'busy'],
  20: ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'busy'],
  22: ['ILLEGAL_GENERATION', 'other'],
  24: ['INVALID_GROUP_ID', 'settings'],
  25: ['UNKNOWN_MEMBER_ID', 'other'],
  27: ['REBALANCE_IN_PROGRESS', 'other'],
  29: ['TOPIC_AUTHORIZATION_FAILED', 'rights'],
  30: ['GROUP_AUTHORIZATION_FAILED', 'rights'],
  31: ['CLUSTER_AUTHORIZATION_FAILED', 'rights'],
  32: ['INVALID_TIMESTAMP', 'settings'],
  35: ['UNSUPPORTED_VERSION', 'other'],
  36: ['TOPIC_ALREADY_EXISTS', 'other'],
  37: ['INVALID_PARTITIONS', 'settings'],
  38: ['INVALID_REPLICATION_FACTOR', 'settings'],
  40: ['INVALID_CONFIG', 'settings'],
  41: ['NOT_CONTROLLER', 'moved'],
  42: ['INVALID_REQUEST', 'other'],
  44: ['POLICY_VIOLATION', 'settings'],
  45: ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'writer'],
  46: ['DUPLICATE_SEQUENCE_NUMBER', 'writer'],
  47: ['INVALID_PRODUCER_EPOCH', 'writer'],
  56: ['KAFKA_STORAGE_ERROR', 'moved'],
  58: ['SASL_AUTHENTICATION_FAILED', 'rights'],
  59: ['UNKNOWN_PRODUCER_ID', 'writer'],
  68: ['NON_EMPTY_GROUP', 'other'],
  69: ['GROUP_ID_NOT_FOUND', 'other'],
  74: ['FENCED_LEADER_EPOCH', 'moved'],
  75: ['UNKNOWN_LEADER_EPOCH', 'busy'],
  78: ['OFFSET_NOT_AVAILABLE', 'busy'],
  79: ['MEMBER_ID_REQUIRED', 'other'],
  80: ['PREFERRED_LEADER_NOT_AVAILABLE', 'moved'],
  84: ['GROUP_MAX_SIZE_REACHED', 'other'],
  87: ['INVALID_RECORD', 'settings'],
  89: ['THROTTLING_QUOTA_EXCEEDED', 'busy'],
};

export const errorCode = {
  none: 0, offsetOutOfRange: 1, unknownTopic: 3, messageTooLarge: 10, recordListTooLarge: 18, illegalGeneration: 22, unknownMember: 25,
  rebalancing: 27, topicExists: 36, invalidConfig: 40, nonEmptyGroup: 68, noSuchGroup: 69, memberIdRequired: 79,
} as const;

export function errorName(code: number): string {
  return codes[code]?.[0] ?? `error ${code}`;
}

/** Whether the same request may succeed a little later, by itself. */
export function isPassing(code: number): boolean {
  const kind = codes[code]?.[1];
  return kind === 'moved' || kind === 'busy';
}

/** What Kafka refuses for good, or has refused for too long, in our words. */
export function kafkaError(code: number, what: string, message?: string | null): TailraceError {
  const why = `${what}: ${errorName(code)}${message === null || message === undefined || message === '' ? '' : `, ${message}`}`;
  switch (codes[code]?.[1]) {
    case 'moved': case 'busy': return new TailraceError('log-unreachable', why);
    case 'writer': return new TailraceError('log-unwritable', why);
    case 'rights': return new TailraceError('log-refused', why);
    case 'settings': return new TailraceError('log-settings', why);
    default: return new TailraceError('log-failed', why);
  }
}
