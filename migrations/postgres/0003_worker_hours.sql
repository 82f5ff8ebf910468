-- What each run of a worker said of itself, by the hour: its counters as last seen in that hour, counted from its start. Sums
-- are made of their differences, so that seeing the same counters again changes nothing.
create table worker_hours (
  worker text collate "C" not null,
  worker_id text collate "C" not null,
  hour_us bigint not null,
  model text collate "C" not null,
  model_sha256 text collate "C" not null,
  engine_threads bigint not null,
  uptime_us bigint not null,
  busy_us bigint not null,
  requests bigint not null,
  primary key (worker, worker_id, hour_us)
);
