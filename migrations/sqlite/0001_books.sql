-- Money is a count of nano-dollars, time a count of microseconds since 1970 UTC, an id sixteen bytes.

create table customers (
  id blob primary key,
  name text not null,
  external_id text unique,
  billing text not null,
  price_book text not null,
  created_at_us integer not null
) without rowid;

create table keys (
  id blob primary key,
  customer_id blob not null references customers (id),
  public_id text not null unique,
  name text,
  secret_hash blob not null,
  requests_per_minute integer,
  tokens_per_minute integer,
  concurrent_requests integer,
  models text,
  expires_at_us integer,
  revoked_at_us integer,
  created_at_us integer not null,
  rotated_from blob
) without rowid;

create index keys_by_customer on keys (customer_id);

-- Immutable: entries name the versions that they were priced by.
create table price_versions (
  id text primary key,
  kind text not null,
  body text not null,
  recorded_at_us integer not null
) without rowid;

-- One row an attempt. `body` is the entry itself and the truth; the columns are what queries need of it.
create table entries (
  request_id blob not null,
  attempt integer not null,
  replica text not null,
  boot_id blob not null,
  sequence integer not null,
  customer_id blob not null,
  key_id blob not null,
  model text not null,
  target text not null,
  outcome text not null,
  usage_source text not null,
  admitted_at_us integer not null,
  cost_nanousd integer not null,
  charge_nanousd integer not null,
  unpriced integer not null,
  body blob not null,
  primary key (request_id, attempt)
) without rowid;

create index entries_by_admission on entries (admitted_at_us);

-- Folded in the transaction that inserts the entries, from the rows that were really inserted.
create table rollups_hourly (
  hour_us integer not null,
  customer_id blob not null,
  key_id blob not null,
  model text not null,
  target text not null,
  requests integer not null,
  attempts integer not null,
  input_uncached integer not null,
  cache_read integer not null,
  cache_write_5m integer not null,
  cache_write_1h integer not null,
  cache_write_unspecified integer not null,
  output integer not null,
  reasoning integer not null,
  cost_nanousd integer not null,
  charge_nanousd integer not null,
  unpriced integer not null,
  estimated integer not null,
  primary key (hour_us, customer_id, key_id, model, target)
) without rowid;

-- How far each boot's journal has been posted.
create table cursors (
  replica text not null,
  boot_id blob not null,
  sequence integer not null,
  closed integer not null,
  primary key (replica, boot_id)
) without rowid;

create table training_runs (
  id blob primary key,
  model text not null,
  name text not null,
  cost_nanousd integer not null,
  in_service text not null,
  source text not null,
  recorded_at_us integer not null,
  unique (model, name)
) without rowid;
