-- What each run of a worker said of itself, by the hour: its counters as last seen in that hour, counted from its start. Sums
-- are made of their differences, so that seeing the same counters again changes nothing.
create table worker_hours (
  worker text not null,
  worker_id text not null,
  hour_us integer not null,
  model text not null,
  model_sha256 text not null,
  engine_threads integer not null,
  uptime_us integer not null,
  busy_us integer not null,
  requests integer not null,
  primary key (worker, worker_id, hour_us)
) without rowid;
