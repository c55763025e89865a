import { lsn } from '../event/lsn.ts';
import type { SinkStatus } from '../pipeline/status.ts';
import { emptyReport, type PublisherReport, type SinkReport } from './thread-messages.ts';

/** How a sink or a stream stands: what its thread reports, beside where the log and the source are. */
export function followerStatus(of: Pick<SinkStatus, 'name' | 'kind'> & { readonly from?: string | undefined }, report: SinkReport | undefined, publisher: PublisherReport | null): SinkStatus {
  const { state, error, position, endLsn, offset, commitAt, applied, missing, blockedKeys } = report ?? emptyReport;
  const end = report?.transactionEnd ?? (of.from === undefined ? publisher?.transactionEnd : publisher?.streamEnds[of.from]);
  const behind = end === undefined ? null : Math.max(0, end - offset);
  // A stream's own log has the LSNs of its input, and no WAL to be measured in.
  const logEnd = of.from === undefined ? (publisher?.source?.lastEnd ?? null) : null;
  const lagBytes = logEnd === null || report === undefined ? null : Math.max(0, Number(lsn(logEnd) - lsn(endLsn)));
  return {
    name: of.name,
    kind: of.kind,
    state: state === 'running' ? (behind === 0 ? 'current' : 'catching-up') : state,
    error,
    position,
    // By the source's clock against ours: clamped, because clocks differ.
    lagMs: behind === 0 ? 0 : commitAt === 0 ? null : Math.max(0, Date.now() - commitAt),
    lagBytes,
    behindTransactions: behind,
    applied,
    missing,
    blockedKeys,
  };
}
