-- Thread time that workers of ours spent on a cell's requests; what entries say of it, summed.
alter table rollups_hourly add column worker_busy_us integer not null default 0;
