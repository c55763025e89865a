import type { Claim } from '../../runtime/claim.ts';
import { connectionTarget } from '../../runtime/postgres/connection-target.ts';
import type { PostgresSourceConfig } from './config.ts';
import { sourceNames } from './names.ts';

/** A slot's name is unique on its server, whatever the database, and a slot has one reader. */
export function postgresSourceClaims(config: PostgresSourceConfig, { pipeline }: { readonly pipeline: string }): readonly Claim[] {
  const { host, port } = connectionTarget(config);
  const { slot } = sourceNames(config, pipeline);
  const server = /^(localhost|127\.[\d.]+|::1|\/.*)$/.test(host) ? 'this machine' : host.toLowerCase();
  return [
    {
      identity: `slot ${server}:${port} ${slot}`,
      what: `the replication slot ${slot} of this server`,
      key: 'slot',
      remedy: 'a slot has one reader: give each pipeline its own, or put both sets of sinks into one pipeline',
    },
  ];
}
