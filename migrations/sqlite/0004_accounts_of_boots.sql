-- What each boot's journal came to, so that "every attempt that was opened has one end" is a query. Boots that are older
-- than the tallies are taken as balanced up to their cursor.
alter table cursors add column counted_from integer not null default 0;
alter table cursors add column opened integer not null default 0;
alter table cursors add column ended integer not null default 0;
alter table cursors add column voided integer not null default 0;
alter table cursors add column resolved integer not null default 0;
alter table cursors add column again integer not null default 0;
alter table cursors add column entries integer not null default 0;
alter table cursors add column buried integer not null default 0;
alter table cursors add column archived integer not null default 0;
alter table cursors add column missing integer not null default 0;

update cursors
set counted_from = sequence,
  entries = (select count(*) from entries e where e.replica = cursors.replica and e.boot_id = cursors.boot_id);

update cursors
set opened = entries, ended = entries;

-- Entries that the store refused for what they are: kept whole, outside of the sums.
create table dead_letters (
  request_id blob not null,
  attempt integer not null,
  replica text not null,
  boot_id blob not null,
  sequence integer not null,
  reason text not null,
  body blob not null,
  buried_at_us integer not null,
  primary key (request_id, attempt)
) without rowid;

-- Values that every process of these books must have in common.
create table pins (
  name text primary key,
  value text not null
) without rowid;

-- A counter moves with every change of what gateways keep in memory.
create table changes (
  topic text primary key,
  version integer not null
) without rowid;

insert into changes (topic, version)
values ('accounts', 0);

create trigger customers_inserted after insert on customers begin
  update changes set version = version + 1 where topic = 'accounts';
end;

create trigger customers_updated after update on customers begin
  update changes set version = version + 1 where topic = 'accounts';
end;

create trigger customers_deleted after delete on customers begin
  update changes set version = version + 1 where topic = 'accounts';
end;

create trigger keys_inserted after insert on keys begin
  update changes set version = version + 1 where topic = 'accounts';
end;

create trigger keys_updated after update on keys begin
  update changes set version = version + 1 where topic = 'accounts';
end;

create trigger keys_deleted after delete on keys begin
  update changes set version = version + 1 where topic = 'accounts';
end;
