import { count, max, stream, sum } from 'tailrace';

interface Customer {
  readonly id: bigint;
  readonly name: string;
}

interface Order {
  readonly customer: bigint;
  readonly total: string;
  readonly placed_at: string;
}

// Each customer with the sum of their orders; those who never ordered are there too.
export default stream(({ table }) => {
  const spent = table<Order>('public.orders')
    .groupBy(({ customer }) => ({ customer }))
    .aggregate({ orders: count(), total: sum((order: Order) => order.total), latest: max((order: Order) => order.placed_at) });

  table<Customer>('public.customers')
    .leftJoin(spent, {
      left: ({ id }) => id,
      right: ({ customer }) => customer,
      combine: ({ id, name }, orders) => ({ id, name, orders: orders?.orders ?? 0, total: orders?.total ?? '0.00', latest: orders?.latest ?? null }),
    })
    .to('customer_totals', { key: ['id'], columns: { id: 'int8', name: 'text', orders: 'int8', total: 'numeric', latest: 'timestamptz' } });
});
