import { z } from 'zod';
import { Secret } from '../../runtime/secret.ts';
import { duration, size } from '../measures.ts';
import { neededSettings } from './needed-settings.ts';

const address = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/,]+):\d{1,5}$/, 'a broker as host:port').meta({ examples: ['kafka-1:9092'] });
const tableKey = z.string().regex(/^[^.]+\..+$/s, 'a source table as schema.table');
const partitions = z.int().min(1).max(10_000).describe("How many partitions the table's topic is made with.");
const path = z.string().min(1);

const tls = z.strictObject({
  ca: path.optional().describe('A file with the authorities that are trusted, in PEM; without it, those that Node brings.'),
  cert: path.optional().describe('A file with our own certificate, in PEM, where the brokers ask for one.'),
  key: path.optional().describe('A file with its private key, in PEM.'),
  server_name: z.string().min(1).optional().describe("The name that the brokers' certificates must have, where it is not their host's."),
}).refine(({ cert, key }) => (cert === undefined) === (key === undefined), { error: 'cert and key go together', path: ['key'] });

const sasl = z.strictObject({
  mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).describe('How the password is shown: plain (use it with tls), or by one of the SCRAMs.'),
  username: z.string().min(1).describe('Who logs in.'),
  password: z.string().min(1).transform((text) => new Secret(text)).describe('Its password; best from the environment: ${KAFKA_PASSWORD}.'),
});

/** What Tailrace relies on, and what has keys of its own. */
const taken = new Set([...Object.keys(neededSettings), 'max.message.bytes', 'min.insync.replicas']);
const setting = z.string().refine((name) => !taken.has(name), { error: 'Tailrace sets this one itself, or has a key of its own for it' });

/** What stands behind `log: { type: kafka }`. */
export const kafkaLogConfig = z.strictObject({
  brokers: z.array(address).min(1).describe('Some of the brokers, each as host:port; they name the others.'),
  tls: tls.optional().describe("Connections are encrypted, and the brokers' certificates verified; tls: {} needs nothing more. Without it they are not."),
  sasl: sasl.optional().describe('How Tailrace logs in; without it, it does not.'),
  client_id: z.string().min(1).default('tailrace').describe('The name by which brokers know this client in logs and quotas.'),
  partitions: partitions.default(1).describe("How many partitions each table's topic is made with. A key's changes stay in one partition, in order. It cannot be changed later."),
  tables: z.record(tableKey, z.strictObject({ partitions })).default({}).describe('Tables whose topics are made with another number of partitions: public.orders: { partitions: 12 }.'),
  replication: z.int().min(1).max(100).optional().describe('How many brokers each partition is kept on; without it, on three, or on as many as there are.'),
  min_insync_replicas: z.int().min(1).max(100).optional().describe('On how many of them a record has to be before it counts; without it, on all but one, at least on one.'),
  compression: z.enum(['none', 'gzip', 'zstd']).default('none').describe('How batches of records are compressed.'),
  max_record_size: size({ min: '16KiB', max: '512MiB' }).prefault('8MiB').describe('How large an event may be: topics are made with this max.message.bytes.'),
  oversize: z.enum(['stop', 'key-only']).default('stop').describe('What happens to an event that is larger than its topic takes: stop in front of it, or write it with its key and without its row, where on_error of each sink decides.'),
  late_after: duration({ min: '1s', max: '1h' }).prefault('1m').describe('How long a sink waits for events that are named as complete and are not to be seen: after a change of leaders they may be late. Afterwards it is a gap.'),
  delivery_timeout: duration({ min: '1s', max: '1h' }).prefault('30s').describe('How long what the brokers do not take is tried again: longer than a broker takes to come back, or a partition to find another leader. Afterwards the pipeline gives its slot back and begins anew, again and again.'),
  topic_settings: z.record(setting, z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}).describe('More settings of the topics that are made, as Kafka names them: segment.bytes: 1073741824.'),
});

export type KafkaLogConfig = z.output<typeof kafkaLogConfig>;
