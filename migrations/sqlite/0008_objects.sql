-- What customers keep at providers (files, batches, responses, conversations): whose it is, and where. A row without an
-- upstream id is written before its creation is sent, so that what was created and never told can be found again.
create table objects (
  id blob primary key,
  kind text not null,
  provider text not null,
  upstream_id text,
  customer_id blob not null,
  key_id blob not null,
  request_id blob not null,
  model text,
  target text,
  price_book text,
  detail text not null,
  created_at_us integer not null,
  deleted_at_us integer,
  finished_at_us integer,
  metered_at_us integer,
  result_lines integer,
  polled_at_us integer,
  poll_after_us integer
) without rowid;

-- Ids are a provider's own: the first customer that is bound to one has it for ever.
create unique index objects_by_upstream_id on objects (provider, kind, upstream_id);

create index objects_by_customer on objects (customer_id, kind, upstream_id);

create index objects_by_age on objects (customer_id, kind, created_at_us, id);

create index objects_to_poll on objects (poll_after_us)
where poll_after_us is not null;
