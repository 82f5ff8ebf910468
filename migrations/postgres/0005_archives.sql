-- Days whose entries were moved to a sealed file.
create table archives (
  day integer not null,
  part integer not null,
  entries bigint not null,
  first_hour_us bigint not null,
  last_hour_us bigint not null,
  sha256 text collate "C" not null,
  file text collate "C" not null,
  archived_at_us bigint not null,
  primary key (day, part)
);

-- Drops the partition of a day whose entries are in a file, and lets their boots remember how many they had. False, and
-- nothing is done, when the partition holds another number of entries than the file: one came late.
create function seal_entries_day(day integer, expected bigint) returns boolean
language plpgsql as $$
declare
  part text := 'entries_' || to_char(date '1970-01-01' + day, 'YYYYMMDD');
  found_entries bigint;
begin
  if to_regclass(part) is null then
    return expected = 0;
  end if;
  execute format('lock table %I in access exclusive mode', part);
  execute format('select count(*) from %I', part) into found_entries;
  if found_entries <> expected then
    return false;
  end if;
  execute format(
    'update cursors c set archived = c.archived + e.entries
     from (select replica, boot_id, count(*) as entries from %I group by replica, boot_id) e
     where c.replica = e.replica and c.boot_id = e.boot_id',
    part
  );
  execute format('drop table %I', part);
  return true;
end
$$;
