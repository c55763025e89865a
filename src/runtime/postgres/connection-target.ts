import { TailraceError } from '../errors.ts';
import type { ConnectionKeys } from './connection-config.ts';
import { parseConnectionUrl, type ConnectionTarget, type ParsedUrl } from './connection-url.ts';

/** What the keys mean. Throws `config-invalid` where `checkConnection` would have found a problem. */
export function connectionTarget(config: ConnectionKeys): ConnectionTarget {
  const parsed = parseConnection(config);
  if (parsed.problem !== undefined) throw new TailraceError('config-invalid', `url: ${parsed.problem}`);
  return parsed.target;
}

export function parseConnection({ url, sslmode, sslrootcert, sslcert, sslkey }: ConnectionKeys): ParsedUrl {
  return parseConnectionUrl(url.reveal(), { sslmode, sslrootcert, sslcert, sslkey });
}
