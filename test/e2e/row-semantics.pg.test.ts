import { scenarios } from '../support/scenarios.ts';
import { beforePublishedGenerated, images } from './scenarios/images.ts';
import { partitions, truncates } from './scenarios/partitions.ts';
import { lists } from './scenarios/publications.ts';

scenarios('row semantics', [...images, ...truncates, ...partitions]);
scenarios('row semantics, with a publication of the user\'s own', lists, { publication: 'publish_via_partition_root = false' });
// The oldest version, where stored generated columns are not sent yet, and the first that has lists of columns and filters.
scenarios('row semantics, PostgreSQL 14', [...images.filter(({ title }) => /^R(2|3|6|7|9):/.test(title)), ...truncates, ...partitions, ...beforePublishedGenerated], { version: '14', formats: ['tuple'] });
scenarios('row semantics, PostgreSQL 15', lists, { version: '15', formats: ['json'], publication: 'publish_via_partition_root = false' });
