import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const version = '4.3.1';

/**
 * A folder with the jars of Kafka, its tools and its broker: from the user's cache, or fetched there by Maven the first time.
 * Where that cannot be, `missing` says why, and a test says it aloud and passes over itself.
 */
export function kafkaJars(): { readonly libs: string; readonly missing?: undefined } | { readonly missing: string } {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tailrace');
  const libs = join(cache, `kafka-${version}`);
  const java = spawnSync('java', ['-version'], { encoding: 'utf8' });
  if (java.error !== undefined) return { missing: 'java is not installed' };
  const major = Number(/version "(\d+)/.exec(java.stderr)?.[1] ?? 0);
  if (major < 17) return { missing: `Kafka ${version} needs Java 17, and this is ${major}` };
  if (existsSync(libs)) return { libs };
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetching-'));
  try {
    writeFileSync(join(work, 'pom.xml'), pom());
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';
    const maven = spawnSync('mvn', ['-B', '-q', copy, '-DincludeScope=runtime', '-DoutputDirectory=libs'], { cwd: work, encoding: 'utf8', timeout: 180_000 });
    if (maven.error !== undefined) return { missing: `mvn: ${maven.error.message}` };
    if (maven.status !== 0) return { missing: `Maven could not fetch Kafka ${version}: ${maven.stdout.split('\n')[0] ?? ''}` };
    // Another test process may have been faster.
    if (!existsSync(libs)) renameSync(join(work, 'libs'), libs);
    return { libs };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function pom(): string {
  const dependency = (group: string, artifact: string, of: string): string =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${of}</version></dependency>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
    <groupId>tailrace</groupId><artifactId>kafka-jars</artifactId><version>1</version><dependencies>
    ${dependency('org.apache.kafka', 'kafka_2.13', version)}
    ${dependency('org.apache.kafka', 'kafka-tools', version)}
    ${dependency('org.slf4j', 'slf4j-simple', '1.7.36')}
    </dependencies></project>`;
}
