/**
 * What Tailrace's own doings depend on, whatever the broker's defaults: nothing goes by age or size but what Tailrace lets go of,
 * nothing is thinned out by key, no replica that lags takes the lead, and times are the source's, whose clock may be ahead.
 */
export const neededSettings: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'message.timestamp.type': 'CreateTime',
  'unclean.leader.election.enable': 'false',
};
