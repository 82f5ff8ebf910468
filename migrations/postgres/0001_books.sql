-- Money is a count of nano-dollars, time a count of microseconds since 1970 UTC. Text sorts by its bytes, as in SQLite.

create table customers (
  id uuid primary key,
  name text collate "C" not null,
  external_id text collate "C" unique,
  billing text collate "C" not null,
  price_book text collate "C" not null,
  created_at_us bigint not null
);

create table keys (
  id uuid primary key,
  customer_id uuid not null references customers (id),
  public_id text collate "C" not null unique,
  name text collate "C",
  secret_hash bytea not null,
  requests_per_minute bigint,
  tokens_per_minute bigint,
  concurrent_requests bigint,
  models text collate "C",
  expires_at_us bigint,
  revoked_at_us bigint,
  created_at_us bigint not null,
  rotated_from uuid
);

create index keys_by_customer on keys (customer_id);

-- Immutable: entries name the versions that they were priced by.
create table price_versions (
  id text collate "C" primary key,
  kind text collate "C" not null,
  body text collate "C" not null,
  recorded_at_us bigint not null
);

-- One row an attempt. `body` is the entry itself and the truth; the columns are what queries need of it.
-- A request id begins with the time at which it was made, in milliseconds, so that ranges of ids are days: the whole key
-- is unique over all partitions, and one request is found in one of them.
create table entries (
  request_id uuid not null,
  attempt integer not null,
  replica text collate "C" not null,
  boot_id uuid not null,
  sequence bigint not null,
  customer_id uuid not null,
  key_id uuid not null,
  model text collate "C" not null,
  target text collate "C" not null,
  outcome text collate "C" not null,
  usage_source text collate "C" not null,
  admitted_at_us bigint not null,
  cost_nanousd bigint not null,
  charge_nanousd bigint not null,
  unpriced boolean not null,
  body bytea not null,
  primary key (request_id, attempt)
) partition by range (request_id);

create index entries_by_admission on entries using brin (admitted_at_us);

-- Takes what no day takes, so that an entry is never refused for want of a partition.
create table entries_default partition of entries default;

-- Folded in the transaction that inserts the entries, from the rows that were really inserted.
create table rollups_hourly (
  hour_us bigint not null,
  customer_id uuid not null,
  key_id uuid not null,
  model text collate "C" not null,
  target text collate "C" not null,
  requests bigint not null,
  attempts bigint not null,
  input_uncached bigint not null,
  cache_read bigint not null,
  cache_write_5m bigint not null,
  cache_write_1h bigint not null,
  cache_write_unspecified bigint not null,
  output bigint not null,
  reasoning bigint not null,
  cost_nanousd bigint not null,
  charge_nanousd bigint not null,
  unpriced bigint not null,
  estimated bigint not null,
  primary key (hour_us, customer_id, key_id, model, target)
);

-- How far each boot's journal has been posted. Kept for ever: deduplication outlives the rows.
create table cursors (
  replica text collate "C" not null,
  boot_id uuid not null,
  sequence bigint not null,
  closed boolean not null,
  primary key (replica, boot_id)
);

create table training_runs (
  id uuid primary key,
  model text collate "C" not null,
  name text collate "C" not null,
  cost_nanousd bigint not null,
  in_service text collate "C" not null,
  source text collate "C" not null,
  recorded_at_us bigint not null,
  unique (model, name)
);

-- The first id of a day, counted from 1970 UTC.
create function entries_first_id(day integer) returns uuid
language sql immutable strict as $$
  select (lpad(to_hex(day::bigint * 86400000), 12, '0') || repeat('0', 20))::uuid
$$;

-- The day of an id.
create function entries_day(id uuid) returns integer
language sql immutable strict as $$
  select ((('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint) / 86400000)::integer
$$;

-- Makes the partition of a day, and moves into it what the default partition holds of that day. False: the day is
-- beyond what a sane clock says (before 2020, from 2100 on) and stays in the default partition.
create function make_entries_partition(day integer) returns boolean
language plpgsql as $$
declare
  part text := 'entries_' || to_char(date '1970-01-01' + day, 'YYYYMMDD');
  first_id uuid := entries_first_id(day);
  next_id uuid := entries_first_id(day + 1);
begin
  if day < 18262 or day >= 47482 then
    return false;
  end if;
  if to_regclass(part) is not null then
    return true;
  end if;
  -- A long reader of the default partition must not hold up posting: then its rows go there for now.
  perform set_config('lock_timeout', '2s', true);
  -- One maker at a time; the number is only a name.
  perform pg_advisory_xact_lock(7453811);
  if to_regclass(part) is not null then
    return true;
  end if;
  lock table entries_default in access exclusive mode;
  execute format('create table %I (like entries including defaults including constraints)', part);
  execute format(
    'with moved as (delete from entries_default where request_id >= %L and request_id < %L returning *)
     insert into %I select * from moved',
    first_id, next_id, part
  );
  execute format('alter table entries attach partition %I for values from (%L) to (%L)', part, first_id, next_id);
  return true;
end
$$;
