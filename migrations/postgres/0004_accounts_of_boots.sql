-- What each boot's journal came to, so that "every attempt that was opened has one end" is a query.
alter table cursors
  add column counted_from bigint not null default 0,
  add column opened bigint not null default 0,
  add column ended bigint not null default 0,
  add column voided bigint not null default 0,
  add column resolved bigint not null default 0,
  add column again bigint not null default 0,
  add column entries bigint not null default 0,
  add column buried bigint not null default 0,
  add column archived bigint not null default 0,
  add column missing bigint not null default 0;

-- Entries that the store refused for what they are: kept whole, outside of the sums.
create table dead_letters (
  request_id uuid not null,
  attempt integer not null,
  replica text collate "C" not null,
  boot_id uuid not null,
  sequence bigint not null,
  reason text collate "C" not null,
  body bytea not null,
  buried_at_us bigint not null,
  primary key (request_id, attempt)
);

-- Values that every process of these books must have in common.
create table pins (
  name text collate "C" primary key,
  value text collate "C" not null
);

-- A counter moves with every change of what gateways keep in memory; listeners are told at the commit.
create table changes (
  topic text collate "C" primary key,
  version bigint not null
);

insert into changes (topic, version)
values ('accounts', 0);

create function note_change() returns trigger
language plpgsql as $$
begin
  update changes set version = version + 1 where topic = tg_argv[0];
  perform pg_notify('tollgate_changes', tg_argv[0]);
  return null;
end
$$;

create trigger customers_changed after insert or update or delete or truncate on customers
for each statement execute function note_change('accounts');

create trigger keys_changed after insert or update or delete or truncate on keys
for each statement execute function note_change('accounts');
