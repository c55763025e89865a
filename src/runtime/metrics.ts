import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { metricNames } from './metric-names.ts';

export type MetricKey = keyof typeof metricNames;
type Labels = Readonly<Record<string, string>>;

/**
 * The metrics as Prometheus reads them. They are taken from the pipelines' status when somebody asks, so that counting
 * costs the hot path nothing and a metric can't say something else than `tailrace status` does.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #gauges = new Map<MetricKey, Gauge>();
  readonly #counters = new Map<MetricKey, Counter>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry, prefix: 'tailrace_' });
    for (const [key, { name, help, labels }] of Object.entries(metricNames) as [MetricKey, (typeof metricNames)[MetricKey]][]) {
      const settings = { name, help, labelNames: [...labels], registers: [this.#registry] };
      if (name.endsWith('_total')) this.#counters.set(key, new Counter(settings));
      else this.#gauges.set(key, new Gauge(settings));
    }
  }

  /** Forgets the values of the last scrape: a sink that is gone must not stay at its last lag. */
  clear(): void {
    for (const metric of [...this.#gauges.values(), ...this.#counters.values()]) metric.reset();
  }

  /** `null` says nothing: not known is not zero. A counter takes its whole count. */
  set(key: MetricKey, labels: Labels, value: number | null): void {
    if (value === null) return;
    this.#gauges.get(key)?.set(labels, value);
    this.#counters.get(key)?.inc(labels, value);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
