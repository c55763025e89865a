/** What no two parts of one run may hold at once: a slot, a folder, a file. Compared over all pipelines before anything starts. */
export interface Claim {
  /** Equal for two configurations that would be in each other's way; never printed. */
  readonly identity: string;
  /** For the message: `the replication slot tailrace_shop of this server`. */
  readonly what: string;
  /** The key of the plug-in's own configuration that it comes from, for the place in the file. */
  readonly key: string;
  readonly remedy: string;
}
