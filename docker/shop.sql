-- A first schema for the source of docker-compose.yml, so that there is something to see.
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  joined timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer bigint NOT NULL REFERENCES customers,
  total numeric(12, 2) NOT NULL,
  paid boolean NOT NULL DEFAULT false
);

INSERT INTO customers (name) VALUES ('Ada'), ('Edgar'), ('Grace');
INSERT INTO orders (customer, total) VALUES (1, 12.50), (1, 99.00), (3, 1.20);
