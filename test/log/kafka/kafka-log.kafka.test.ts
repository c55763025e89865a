import { logContract } from '../../contract/log.ts';
import { groupsContract } from '../../contract/log-groups.ts';
import { topicsContract } from '../../contract/log-topics.ts';
import { sharedKafka } from '../../support/kafka.ts';
import { freshLog, withoutPrefix } from './prefixed-log.ts';

const kafka = await sharedKafka();

for (const compression of ['none', 'zstd'] as const) {
  logContract(`the Kafka log (compression ${compression})`, async () => {
    const { log, pipeline } = freshLog(kafka.brokers, { compression });
    return withoutPrefix(log, `${pipeline}.`);
  }, kafka.missing);
}

topicsContract('the Kafka log', async () => {
  const { log, pipeline } = freshLog(kafka.brokers);
  return withoutPrefix(log, `${pipeline}.`);
}, kafka.missing);

groupsContract('the Kafka log', async () => {
  const { log, pipeline } = freshLog(kafka.brokers);
  return { log, prefix: `${pipeline}.` };
}, kafka.missing);
