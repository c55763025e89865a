/** Every metric by name. Labels: `pipeline`, and `sink` or `state` where it says so; never a table, a key or a value. */
export const metricNames = {
  up: { name: 'tailrace_pipeline_up', help: '1 while the pipeline is capturing, 0 while it retries or has stopped', labels: ['pipeline'] },
  events: { name: 'tailrace_events_published_total', help: 'Row changes written durably to the log', labels: ['pipeline'] },
  transactions: { name: 'tailrace_transactions_published_total', help: 'Source transactions written durably to the log', labels: ['pipeline'] },
  walHeld: { name: 'tailrace_slot_wal_held_bytes', help: 'WAL that the source keeps for the slot', labels: ['pipeline'] },
  lastCommit: { name: 'tailrace_last_commit_timestamp_seconds', help: "Commit time of the last captured transaction, by the source's clock", labels: ['pipeline'] },
  tablesCopying: { name: 'tailrace_snapshot_tables_pending', help: 'Tables whose snapshot is not complete', labels: ['pipeline'] },
  snapshotRows: { name: 'tailrace_snapshot_rows', help: 'Rows copied by the snapshots that are under way', labels: ['pipeline'] },
  sinkUp: { name: 'tailrace_sink_up', help: '1 while the sink applies, 0 while it retries or has stopped', labels: ['pipeline', 'sink'] },
  sinkLagSeconds: { name: 'tailrace_sink_lag_seconds', help: 'Age of the oldest transaction that the replica lacks', labels: ['pipeline', 'sink'] },
  sinkLagBytes: { name: 'tailrace_sink_lag_bytes', help: "WAL between the replica's position and the end of the log", labels: ['pipeline', 'sink'] },
  sinkBehind: { name: 'tailrace_sink_behind_transactions', help: 'Transactions in the log that the replica lacks', labels: ['pipeline', 'sink'] },
  sinkApplied: { name: 'tailrace_sink_applied_total', help: 'Row changes applied to the replica', labels: ['pipeline', 'sink'] },
  sinkBlocked: { name: 'tailrace_sink_blocked_keys', help: 'Keys that wait for a dead letter to be retried', labels: ['pipeline', 'sink'] },
} as const satisfies Record<string, { name: string; help: string; labels: readonly ('pipeline' | 'sink')[] }>;
