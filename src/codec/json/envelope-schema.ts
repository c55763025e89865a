/** The parts of Debezium's envelope that are the same for every table, as Kafka Connect's JsonConverter writes schemas. */

type Field = Readonly<Record<string, unknown>>;

const string = (field: string, optional = false): Field => ({ type: 'string', optional, field });
const int64 = (field: string, optional = false): Field => ({ type: 'int64', optional, field });

const source: Field = {
  type: 'struct',
  fields: [
    string('version'), string('connector'), string('name'), int64('ts_ms'),
    {
      type: 'string', optional: true, name: 'io.debezium.data.Enum', version: 1,
      parameters: { allowed: 'true,first,first_in_data_collection,last_in_data_collection,last,false,incremental' }, default: 'false', field: 'snapshot',
    },
    string('db'), string('sequence', true), int64('ts_us', true), int64('ts_ns', true), string('schema'), string('table'),
    int64('txId', true), int64('lsn', true), int64('xmin', true),
  ],
  optional: false, name: 'io.debezium.connector.postgresql.Source', version: 1, field: 'source',
};

const transaction: Field = {
  type: 'struct', fields: [string('id'), int64('total_order'), int64('data_collection_order')],
  optional: true, name: 'event.block', version: 1, field: 'transaction',
};

const behind = [source, transaction, string('op'), int64('ts_ms', true), int64('ts_us', true), int64('ts_ns', true)];

/** The fields behind `before` and `after`. */
export const sourceAndBehind = behind.map((field) => JSON.stringify(field)).join(',');
/** From behind the fields to the envelope's name. */
export const envelopeEnd = '],"optional":false,"name":';

const message: Field = {
  type: 'struct', fields: [string('prefix', true), { type: 'bytes', optional: true, field: 'content' }],
  optional: false, name: 'io.debezium.connector.postgresql.Message', version: 1, field: 'message',
};

export const messageKeySchema = JSON.stringify({
  type: 'struct', fields: [string('prefix', true)], optional: false, name: 'io.debezium.connector.postgresql.MessageKey', version: 1,
});
export const messageSchema = JSON.stringify({
  type: 'struct', fields: [message, ...behind], optional: false, name: 'io.debezium.connector.postgresql.MessageValue', version: 1,
});
