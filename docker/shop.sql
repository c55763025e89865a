-- A first schema for the source of docker-compose.yml, so that there is something to see.
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  joined timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer bigint NOT NULL REFERENCES customers,
  product text NOT NULL,
  total numeric(12, 2) NOT NULL,
  paid boolean NOT NULL DEFAULT false,
  placed_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO customers (name) VALUES ('Ada'), ('Edgar'), ('Grace');
INSERT INTO orders (customer, product, total, paid) VALUES (1, 'book', 12.50, true), (1, 'lamp', 99.00, true), (3, 'pencil', 1.20, false);
