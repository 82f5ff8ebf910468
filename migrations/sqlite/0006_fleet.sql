-- Who serves under which name, as far as is known: a name is held while it is renewed. By the database's clock.
create table replicas (
  name text primary key,
  boot_id blob not null,
  instance text not null,
  host text not null,
  pid integer not null,
  started_at_us integer not null,
  renewed_at_us integer not null,
  released integer not null
) without rowid;

-- Which price versions a fleet charges by: the last one is in force.
create table price_sets (
  number integer primary key,
  digest text not null,
  versions text not null,
  published_by text not null,
  published_at_us integer not null
);

insert into changes (topic, version)
values ('prices', 0);

create trigger price_sets_inserted after insert on price_sets begin
  update changes set version = version + 1 where topic = 'prices';
end;
