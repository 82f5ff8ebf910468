-- Of sealed days: the entries that no cursor protects, because they do not come from an ENDED record of their boot's journal (orphans,
-- and ends that went straight into the store), while the boot is not closed. They may be posted again, and must not be.
create table sealed_orphans (
  request_id blob not null,
  attempt integer not null,
  replica text not null,
  boot_id blob not null,
  primary key (request_id, attempt)
) without rowid;

create index sealed_orphans_by_boot on sealed_orphans (replica, boot_id);
