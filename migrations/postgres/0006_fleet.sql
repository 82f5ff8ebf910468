-- Who serves under which name, as far as is known: a name is held while it is renewed. By the database's clock.
create table replicas (
  name text collate "C" primary key,
  boot_id uuid not null,
  instance text collate "C" not null,
  host text collate "C" not null,
  pid bigint not null,
  started_at_us bigint not null,
  renewed_at_us bigint not null,
  released boolean not null
);

-- Which price versions a fleet charges by: the last one is in force.
create table price_sets (
  number bigint primary key,
  digest text collate "C" not null,
  versions text collate "C" not null,
  published_by text collate "C" not null,
  published_at_us bigint not null
);

insert into changes (topic, version)
values ('prices', 0);

create trigger price_sets_changed after insert or update or delete or truncate on price_sets
for each statement execute function note_change('prices');
