-- What customers keep at providers (files, batches, responses, conversations): whose it is, and where. A row without an
-- upstream id is written before its creation is sent, so that what was created and never told can be found again.
create table objects (
  id uuid primary key,
  kind text collate "C" not null,
  provider text collate "C" not null,
  upstream_id text collate "C",
  customer_id uuid not null,
  key_id uuid not null,
  request_id uuid not null,
  model text collate "C",
  target text collate "C",
  price_book text collate "C",
  detail text collate "C" not null,
  created_at_us bigint not null,
  deleted_at_us bigint,
  finished_at_us bigint,
  metered_at_us bigint,
  result_lines bigint,
  polled_at_us bigint,
  poll_after_us bigint
);

-- Ids are a provider's own: the first customer that is bound to one has it for ever.
create unique index objects_by_upstream_id on objects (provider, kind, upstream_id);

create index objects_by_customer on objects (customer_id, kind, upstream_id);

create index objects_by_age on objects (customer_id, kind, created_at_us, id);

create index objects_to_poll on objects (poll_after_us)
where poll_after_us is not null;
