/**
 * `retry`: it passes by itself, try again with backoff. `stop`: going on would lose or bend data, or cannot work; the part
 * concerned stops and says why. `operator`: a person has to decide or mend something; the pipeline goes on afterwards.
 */
export type Action = 'retry' | 'stop' | 'operator';

export interface CatalogueEntry {
  readonly action: Action;
  /** 1 failed while running · 2 usage or config · 3 environment · 4 data. */
  readonly exit: 1 | 2 | 3 | 4;
  readonly meaning: string;
  readonly remedy: string;
}

function entry(action: Action, exit: 1 | 2 | 3 | 4, meaning: string, remedy: string): CatalogueEntry {
  return { action, exit, meaning, remedy };
}

/**
 * Every error that Tailrace raises on purpose, by code. docs/errors.md is held against this table by a test. Codes are
 * grouped by the part that raises them and never change their meaning once released.
 */
export const catalogue = {
  // anyone
  'internal': entry('stop', 1, 'Tailrace broke a rule of its own.', 'Please report it with the log lines before it.'),
  'usage': entry('stop', 2, 'The command line is not understood.', 'See tailrace --help.'),
  'config-invalid': entry('stop', 2, 'A configuration file has problems.', 'Mend the lines that the message names.'),
  'own-postgres': entry('operator', 3, 'The Postgres that the demo or a test starts itself does not run.', 'See the message; in a checkout, npm run setup installs what is missing.'),
  'http-unavailable': entry('operator', 3, 'The address for /healthz, /metrics and /status cannot be listened on.', 'Choose another with --http host:port, or switch it off with --no-http.'),
  'daemon-missing': entry('operator', 3, 'A command needs a running daemon of the pipeline, and there is none.', 'Start it with tailrace run, on this machine, and with the same TAILRACE_RUNTIME_DIR if that is set.'),
  'daemon-unreachable': entry('operator', 3, 'The daemon of the pipeline cannot be asked, or did not answer.', 'Run the command as the same user and in the same version as the daemon; tailrace status shows what it does now.'),
  'command-refused': entry('operator', 3, 'The daemon cannot do now what it was asked for.', 'See the message; tailrace status shows where the pipeline stands.'),

  // the source
  'source-unreachable': entry('retry', 3, 'The source cannot be reached, is starting, or went away.', 'Check that the server runs and that the host, port and network in source.url are right; Tailrace tries again by itself.'),
  'source-refused': entry('operator', 3, 'The source refuses the login or a right is missing.', 'Check the user, the password and the rights that the message names.'),
  'source-not-ready': entry('operator', 3, 'The source is not set up as Tailrace needs it.', 'Run tailrace check on the file: it lists every problem with its remedy.'),
  'slot-in-use': entry('retry', 3, 'Another connection holds the replication slot.', 'Stop the other reader; Tailrace takes the slot as soon as it is free.'),
  'slot-lost': entry('stop', 4, 'The slot was invalidated: the source removed WAL that had not been read.', 'Raise max_slot_wal_keep_size, then take new snapshots: see docs/guarantees.md, Gaps.'),
  'source-failed': entry('stop', 1, 'The source reported an error that Tailrace does not know how to take.', 'See the message and the server\'s own log.'),
  'source-unreadable': entry('stop', 4, 'The source sent something that cannot be decoded.', 'See the message; the slot is not advanced past it.'),

  // the log
  'log-locked': entry('operator', 3, 'Another process has the log open.', 'Stop the other daemon, or give this pipeline a directory of its own.'),
  'log-of-another': entry('operator', 3, 'The directory holds the log of another pipeline.', 'Give this pipeline a directory of its own; a pipeline that was renamed goes on under its old name.'),
  'log-damaged': entry('stop', 4, 'The log is damaged at a place that had been made durable.', 'Restore the folder from a copy, or move it away and start with new snapshots.'),
  'log-unwritable': entry('retry', 3, 'The log cannot be written: no space, an I/O error, or brokers that lost what was written before.', 'Free or add disk space; Tailrace tries again by itself and the source keeps what was not acknowledged.'),
  'log-directory': entry('operator', 3, 'The directory of the log cannot be used: its rights, its owner, or what stands there.', 'Give the user that Tailrace runs as its own writable directory, or mend the rights that the message names.'),
  'log-missing': entry('operator', 3, 'There is no log in the directory.', 'Check the path; tailrace run makes the log.'),
  'log-unreachable': entry('retry', 3, 'The Kafka brokers cannot be reached, do not answer, or have no leader for a partition.', 'Check that the brokers run and that log.brokers, the network and log.tls are right; Tailrace tries again by itself, and the source keeps what was not acknowledged.'),
  'log-refused': entry('operator', 3, 'Kafka refuses the login, the certificate is not accepted, or a right is missing.', 'Check log.sasl and log.tls, and the rights (ACLs) that the message names.'),
  'log-settings': entry('operator', 3, 'Kafka does not take a topic as it is configured, or a topic is not as the configuration says.', 'See the message; tailrace check lists every topic that is not as it should be.'),
  'log-failed': entry('stop', 1, 'Kafka answered with an error that Tailrace does not know how to take.', 'See the message and the log of the broker.'),
  'log-record-too-large': entry('operator', 4, 'An event is larger than a record may be in the log.', 'Raise what the message names: max.message.bytes of the topic (kafka-configs), and log.max_record_size for those that are still to be made; or let the log have its key alone, with log.oversize: key-only.'),
  'log-unknown-version': entry('stop', 3, 'The log was written by a newer version of Tailrace.', 'Run that version or a newer one.'),
  'log-moved': entry('stop', 3, 'The log was copied to another place (tailrace topics copy), and the pipeline goes on there.', 'Use the connector file that names the new log. The old one can be deleted.'),
  'log-incomplete': entry('operator', 3, 'The log is being copied from another one (tailrace topics copy), and is not whole yet.', 'Let the command end, or run it again if it was cut off: it goes on where it was.'),
  'log-not-empty': entry('operator', 2, 'The log to copy to has something of the pipeline already.', 'Copy to an empty log: another directory, or brokers without topics of this name.'),
  'log-other-format': entry('operator', 2, 'The log holds events in another format than the configuration says.', 'Set format: to the one that the log was written with, or give the pipeline a new log directory.'),
  'topic-of-another': entry('operator', 2, 'The topic to merge into holds what this merge has not put there, or cannot tell from what it holds where to go on.', 'Merge into a topic that is not there yet, or name what this one was merged from; tailrace topics delete makes room.'),
  'offset-out-of-range': entry('stop', 4, 'An offset was asked for that the log does not hold (any more).', 'See docs/guarantees.md, Gaps.'),

  // schemas
  'registry-unreachable': entry('retry', 3, 'The schema registry cannot be reached, or answers that it has trouble.', 'Check that it runs and that format.registry.url is right; Tailrace tries again by itself. Tables whose schemas the log holds already need no registry.'),
  'registry-refused': entry('operator', 3, 'The schema registry refuses the login, or what answers there is none.', 'Check the keys under format.registry; the URL is where the API begins, as other clients are given it.'),
  'schema-refused': entry('operator', 4, "The schema registry refuses a table's new schema.", 'See the message for the subject and the field. Let the subject change, or undo the change at the source.'),

  // the protocol
  'gap': entry('stop', 4, 'Changes are missing between what the log holds and what can still be read.', 'See docs/guarantees.md, Gaps: take new snapshots to go on.'),
  'fenced': entry('stop', 1, 'Another publisher or sink worker has taken over.', 'Run one worker only; this one stopped without harm.'),

  'lead-lost': entry('retry', 1, 'Another worker may do by now what this one did.', 'Nothing: this one did no harm, and waits until it is needed again.'),

  // the sinks
  'row-incomplete': entry('operator', 4, 'A sink needs whole rows, and an update left columns out that the log no longer holds.', 'Run tailrace sinks forget for the sink, so that it is filled anew; give the table REPLICA IDENTITY FULL, or the log a longer retention.'),
  'row-left-out': entry('operator', 4, 'A row was larger than the log takes, and log.oversize: key-only left it out: the log has its key alone.', 'Raise the limit and run tailrace snapshot for the table, whose copy the sink then goes on from; or configure on_error: dead-letter for this sink.'),
  'sink-unreachable': entry('retry', 3, 'The replica cannot be reached or went away.', 'Check that it runs; Tailrace tries again by itself, and neither the source nor other sinks wait for it.'),
  'sink-refused': entry('operator', 3, 'The replica refuses the login or a right is missing.', 'Check the user, the password and the rights that the message names.'),
  'sink-conflict': entry('operator', 3, 'The replica has a table that is in the way or does not fit.', 'Empty, rename or drop the table, or let the sink write to another schema.'),
  'sink-shape': entry('operator', 4, 'A table changed its shape, and the replica cannot follow by itself.', 'See the message for the statements to run at the replica, or for what is in the way there.'),
  'sink-lost': entry('operator', 4, 'What a sink had filled is gone, was replaced, or is damaged.', 'Put it back from a copy, or run tailrace sinks forget and let it be filled anew.'),
  'sink-data': entry('operator', 4, 'The replica does not accept a row.', 'Mend the row or the replica, or configure on_error: dead-letter for this sink.'),

  // streams
  'stream-module': entry('stop', 2, 'A stream\'s module cannot be loaded, or what it describes does not fit the pipeline.', 'Mend the module; tailrace check loads it too.'),
  'table-not-captured': entry('operator', 3, 'A stream reads a table that is not captured, and never was.', 'Include it under source.tables, or mend the module; a table that is made and captured later is found by itself. tailrace check says why one is left out.'),
  'stream-changed': entry('operator', 3, 'A stream\'s module, or the number of its shards, is another one than its state was made with.', 'Run tailrace streams reset to compute it anew, or tailrace streams keep if a change of the module alters no result.'),
  'stream-inconsistent': entry('stop', 4, 'A stream took back something that it had never been given.', 'Its functions must give the same for the same row: mend them, then run tailrace streams reset.'),
  // jobs
  'job-query': entry('stop', 4, 'A job\'s query was not accepted, took too long, or gave too much.', 'Mend the query, raise the job\'s timeout, or let its result become a table (into: type: table).'),
  'job-file': entry('retry', 3, 'The file of a job\'s result cannot be written.', 'Check the folder, its rights and the space on its disk; the run is tried again.'),
  'replica-differs': entry('stop', 4, 'A replica is not equal to its source.', 'See which keys differ; forget the sink and let it be filled anew.'),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
