-- Days whose entries were moved to a sealed file.
create table archives (
  day integer not null,
  part integer not null,
  entries integer not null,
  first_hour_us integer not null,
  last_hour_us integer not null,
  sha256 text not null,
  file text not null,
  archived_at_us integer not null,
  primary key (day, part)
) without rowid;
