-- Of sealed days: the entries that no cursor protects, because they do not come from an ENDED record of their boot's journal (orphans,
-- and ends that went straight into the store), while the boot is not closed. They may be posted again, and must not be.
create table sealed_orphans (
  request_id uuid not null,
  attempt integer not null,
  replica text collate "C" not null,
  boot_id uuid not null,
  primary key (request_id, attempt)
);

create index sealed_orphans_by_boot on sealed_orphans (replica, boot_id);

-- As before, and it remembers those entries.
create or replace function seal_entries_day(day integer, expected bigint) returns boolean
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
  execute format(
    'insert into sealed_orphans (request_id, attempt, replica, boot_id)
     select e.request_id, e.attempt, e.replica, e.boot_id
     from %I e
     join cursors c on c.replica = e.replica and c.boot_id = e.boot_id
     where not c.closed and (e.sequence = 0 or e.outcome = ''interrupted'')
     on conflict do nothing',
    part
  );
  execute format('drop table %I', part);
  return true;
end
$$;
