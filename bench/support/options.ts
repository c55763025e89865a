/** What a benchmark was started with: `node bench/NAME.ts [--full] [--rows N] [--rounds N] [--only NAME]`. */
export interface BenchOptions {
  /** The sizes of the figures that are published, in place of those that take a minute or two. */
  readonly full: boolean;
  readonly rows: number | undefined;
  readonly rounds: number;
  /** Runs nothing but the contender of this name: for a profile. */
  readonly only: string | undefined;
}

const args = process.argv.slice(2);

export const options: BenchOptions = {
  full: args.includes('--full'),
  rows: numberBehind('--rows'),
  rounds: numberBehind('--rounds') ?? 2,
  only: args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined,
};

/** The number of rows: as told, or by the size of the run. */
export function rowsOf(sizes: { readonly short: number; readonly full: number }): number {
  return options.rows ?? (options.full ? sizes.full : sizes.short);
}

/** The number behind a flag. */
export function numberBehind(flag: string): number | undefined {
  const at = args.indexOf(flag);
  const value = at < 0 ? Number.NaN : Number(args[at + 1]?.replaceAll('_', ''));
  return Number.isFinite(value) ? value : undefined;
}
