import { spawnSync } from 'node:child_process';

/** Whether `kcat` can be run. Root installs it from the system's packages; who is not root is told to. */
export function kcat(): { readonly missing?: string } {
  const found = (): boolean => spawnSync('kcat', ['-V']).error === undefined;
  if (found()) return {};
  if (process.getuid?.() !== 0) return { missing: 'kcat is not installed, and only root could' };
  const apt = (args: readonly string[]): number | null =>
    spawnSync('apt-get', ['-qq', '-y', ...args], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 120_000, stdio: 'ignore' }).status;
  if (apt(['install', 'kcat']) !== 0 && (apt(['update']) !== 0 || apt(['install', 'kcat']) !== 0)) return { missing: 'kcat is not installed, and apt-get could not' };
  return found() ? {} : { missing: 'kcat does not run' };
}
