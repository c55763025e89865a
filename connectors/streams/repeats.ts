import { stream, time } from 'tailrace';

interface Order {
  readonly id: bigint;
  readonly customer: bigint;
  readonly product: string;
  readonly placed_at: string;
}

// What a customer ordered within half an hour of an order before it. When one of the two is deleted, the pair goes.
export default stream(({ table }) => {
  const orders = table<Order>('public.orders');
  const placed = ({ placed_at }: Order): number | null => time(placed_at);

  const pairs = orders
    .within(orders, { leftAt: placed, rightAt: placed, after: '30m', grace: '1h' })
    .join({ left: ({ customer }) => customer, right: ({ customer }) => customer, combine: (first, next) => ({ first, next }) });
  pairs.rows
    // Every order is near itself, too.
    .filter(({ first, next }) => first.id !== next.id)
    .map(({ first, next }) => ({ customer: first.customer, first: first.id, next: next.id, bought: first.product, followed_by: next.product }))
    .to('repeats', { key: ['first', 'next'], columns: { customer: 'int8', first: 'int8', next: 'int8', bought: 'text', followed_by: 'text' } });
});
