import type { PostgresSourceConfig } from './config.ts';

/** What the pipeline has or makes at the server. */
export interface SourceNames {
  readonly slot: string;
  readonly publication: string;
  readonly ownSlot: boolean;
  readonly ownPublication: boolean;
  readonly applicationName: string;
}

export function sourceNames(config: Pick<PostgresSourceConfig, 'slot' | 'publication'>, pipeline: string): SourceNames {
  const own = `tailrace_${pipeline.replaceAll('-', '_')}`;
  return {
    slot: config.slot ?? own,
    publication: config.publication ?? own,
    ownSlot: config.slot === undefined,
    ownPublication: config.publication === undefined,
    applicationName: `tailrace/${pipeline}`,
  };
}
