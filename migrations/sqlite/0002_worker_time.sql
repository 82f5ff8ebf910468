-- Busy time of local workers, microseconds, as their entries say.
alter table rollups_hourly add column worker_busy_us integer not null default 0;
