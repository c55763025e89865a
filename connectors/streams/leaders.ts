import { stream } from 'tailrace';

interface Best {
  readonly rank: number;
  readonly product: string;
  readonly revenue: string;
}

// Each time that another product becomes the one that sells best. It reads what the stream sales gives.
export default stream(({ changes }) => {
  changes<Best>('public.top_products')
    .filter(({ before, after }) => after?.rank === 1 && after.product !== before?.product)
    .map(({ at, after }) => ({ at, product: after?.product ?? null, revenue: after?.revenue ?? null }))
    .to('leaders', { columns: { at: 'timestamptz', product: 'text', revenue: 'numeric' } });
});
