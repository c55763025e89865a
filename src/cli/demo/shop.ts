import pg from 'pg';

/** What the demo's shop looks like: keys of several kinds, a large text that is stored out of line, and a table without a key. */
const schema = `
  CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    balance numeric(14,2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE products (sku text PRIMARY KEY, name text NOT NULL, price numeric(10,2) NOT NULL, stock int NOT NULL, manual text);
  ALTER TABLE products ALTER COLUMN manual SET STORAGE EXTERNAL;
  CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'new',
    total numeric(14,2) NOT NULL DEFAULT 0,
    note jsonb,
    placed_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE order_items (
    order_id bigint NOT NULL, line int NOT NULL, sku text NOT NULL, quantity int NOT NULL, price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line)
  );
  CREATE TABLE visits (page text NOT NULL, seconds int NOT NULL);
  ALTER TABLE visits REPLICA IDENTITY FULL;
  INSERT INTO customers (name, email) SELECT 'customer ' || n, 'c' || n || '@shop.example' FROM generate_series(1, 2000) n;
  INSERT INTO products SELECT 'sku-' || n, 'product ' || n, 1 + n % 90, 1000, repeat('how to use it ', 400) FROM generate_series(1, 300) n;
  INSERT INTO visits SELECT '/p/' || n % 50, n % 7 FROM generate_series(1, 3000) n;
`;

class ChangeOfMind extends Error {}

/** Sessions that buy, pay, cancel and browse until they are stopped; counts what was committed. */
export class ShopTraffic {
  readonly #pool: pg.Pool;
  readonly #sessions: Promise<void>[] = [];
  #stopping = false;
  committed = 0;

  private constructor(url: string, sessions: number) {
    this.#pool = new pg.Pool({ connectionString: url, max: sessions });
    this.#pool.on('error', () => undefined);
  }

  static async create(url: string, sessions: number): Promise<ShopTraffic> {
    const traffic = new ShopTraffic(url, sessions);
    await traffic.#pool.query(schema);
    return traffic;
  }

  start(sessions: number): void {
    for (let i = 0; i < sessions; i++) this.#sessions.push(this.#session());
  }

  /** Resolves when every session has finished its transaction. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#sessions);
    await this.#pool.end();
  }

  async #session(): Promise<void> {
    while (!this.#stopping) {
      const client = await this.#pool.connect();
      try {
        await client.query('BEGIN');
        await pick(actions)(client);
        await client.query('COMMIT');
        this.committed++;
      } catch (error) {
        await client.query('ROLLBACK');
        // A change of mind, or two sessions that wanted the same rows: both are part of a shop's day.
        const { code } = error as { code?: string };
        if (!(error instanceof ChangeOfMind) && code !== '40P01' && code !== '40001') throw error;
      } finally {
        client.release();
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
    }
  }
}

type Action = (client: pg.PoolClient) => Promise<void>;

/** An order over three tables in one transaction; one in ten is rolled back. */
const buy: Action = async (client) => {
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO orders (customer_id, note) VALUES ($1, $2) RETURNING id`, [any(2000), JSON.stringify({ gift: any(2) === 1 })]);
  const id = rows[0]?.id;
  const lines = any(4);
  for (let line = 1; line <= lines; line++) {
    const sku = `sku-${any(300)}`;
    await client.query('INSERT INTO order_items SELECT $1, $2, sku, $3, price FROM products WHERE sku = $4', [id, line, any(5), sku]);
    await client.query('UPDATE products SET stock = stock - 1 WHERE sku = $1', [sku]);
  }
  await client.query('UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_items WHERE order_id = $1) WHERE id = $1', [id]);
  if (any(10) === 1) throw new ChangeOfMind();
};

const pay: Action = async (client) => {
  const { rows } = await client.query<{ customer_id: string; total: string }>(
    `UPDATE orders SET status = 'paid' WHERE id = (SELECT id FROM orders WHERE status = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING customer_id, total`);
  const [order] = rows;
  if (order !== undefined) await client.query('UPDATE customers SET balance = balance - $1 WHERE id = $2', [order.total, order.customer_id]);
};

const cancel: Action = async (client) => {
  const { rows } = await client.query<{ id: string }>(
    `DELETE FROM orders WHERE id = (SELECT id FROM orders WHERE status = 'new' ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id`);
  await client.query('DELETE FROM order_items WHERE order_id = $1', [rows[0]?.id ?? 0]);
};

const register: Action = async (client) => {
  await client.query('INSERT INTO customers (name, email) VALUES ($1, $2)', [`customer ${any(1_000_000)}`, `n${any(1_000_000)}@shop.example`]);
};

/** A price goes up; the manual of the product is not sent again by Postgres, and must not be lost on the way. */
const reprice: Action = async (client) => {
  await client.query('UPDATE products SET price = price + 0.01 WHERE sku = $1', [`sku-${any(300)}`]);
};

/** Rows without a key, some of them equal. */
const browse: Action = async (client) => {
  await client.query('INSERT INTO visits SELECT $1, $2 FROM generate_series(1, 3)', [`/p/${any(50)}`, any(7)]);
  if (any(5) === 1) await client.query('DELETE FROM visits WHERE ctid = (SELECT ctid FROM visits LIMIT 1 FOR UPDATE SKIP LOCKED)');
};

const actions: readonly Action[] = [buy, buy, buy, pay, pay, cancel, register, reprice, browse];

function any(below: number): number {
  return 1 + Math.floor(Math.random() * below);
}

function pick<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}
