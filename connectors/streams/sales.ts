import { count, stream, sum, time, top, tumbling } from 'tailrace';

interface Order {
  readonly id: bigint;
  readonly product: string;
  readonly total: string;
  readonly paid: boolean;
  readonly placed_at: string;
}

// Revenue a minute, and the products that sell best. An order that is paid later, changed or deleted is taken back from what it
// had been counted in, and counted where it belongs now.
export default stream(({ table }) => {
  const paid = table<Order>('public.orders').filter(({ paid }) => paid);

  const minutes = paid
    .groupBy(() => ({}))
    .window(tumbling('1m'), { at: ({ placed_at }) => time(placed_at), grace: '10m' })
    .aggregate({ orders: count(), revenue: sum(({ total }: Order) => total) });
  minutes.rows.to('revenue_per_minute', {
    key: ['window_start'],
    columns: { window_start: 'timestamptz', window_end: 'timestamptz', orders: 'int8', revenue: 'numeric' },
  });
  // Paid more than ten minutes after the newest order was placed: its minute is closed.
  minutes.late.map(({ row, removed }) => ({ id: row.id, total: row.total, removed })).to('late_orders', { columns: { id: 'int8', total: 'numeric', removed: 'bool' } });

  paid
    .groupBy(({ product }) => ({ product }))
    .aggregate({ sold: count(), revenue: sum(({ total }: Order) => total) })
    .groupBy(() => ({}))
    .aggregate({ best: top(10, { by: (row: { revenue: string | null }) => row.revenue, numeric: true }) })
    .flatMap(({ best }) => best.map((product, i) => ({ ...product, rank: i + 1 })))
    .to('top_products', { key: ['rank'], columns: { rank: 'int4', product: 'text', sold: 'int8', revenue: 'numeric' } });
});
