//! A local worker's time on a request, and its cost: the device's time at the device's hourly price, energy included.
//!
//! A device with N engine threads has N microseconds of thread time a microsecond, so a microsecond of one thread costs
//! 1/N of the device's. Watts are configured figures of the whole device, not measurements.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{decimal::Decimal, exact::Exact, money::MoneyOverflow};

/// Longest thread time that a rate must be able to price exactly: a hundred days, in microseconds.
const PRICEABLE_US: u64 = 8_640_000_000_000;
/// Most engine threads for which it must.
const PRICEABLE_THREADS: u32 = 4096;

/// The flag of an entry whose worker did not say, or could not be asked, how long it was busy: its line says zero, and the
/// time is part of what the device's own counters have beyond all entries.
pub const WORKER_TIME_UNKNOWN: &str = "worker_time_unknown";

/// Where a worker's time on a request went. Processor time of engine threads, so neighbours do not change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerTime {
    /// Wall time in the worker's queue; costs nothing.
    #[n(0)]
    pub queue_us: u64,
    /// Thread time of prefill.
    #[n(1)]
    pub prefill_busy_us: u64,
    /// Thread time of decode.
    #[n(2)]
    pub decode_busy_us: u64,
    /// Engine threads of the worker; 0 when the times are not known.
    #[n(3)]
    pub engine_threads: u32,
}

impl WorkerTime {
    /// Whether the worker said how long it was busy.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.engine_threads > 0
    }

    /// Thread time that is paid for. Saturates at `u64::MAX`.
    #[must_use]
    pub const fn busy_us(&self) -> u64 {
        self.prefill_busy_us.saturating_add(self.decode_busy_us)
    }
}

/// What a worker's device costs, in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceRate {
    /// The device itself, USD an hour, busy or not.
    pub device_usd_per_hour: Decimal,
    /// What the whole device draws under load, watts.
    pub device_watts: Decimal,
    /// What it draws when idle, watts.
    pub device_idle_watts: Decimal,
    /// Price of energy, USD a kilowatt hour.
    pub usd_per_kwh: Decimal,
    /// Power usage effectiveness: energy bought for each unit that the device draws, at least 1.
    pub pue: Decimal,
}

impl DeviceRate {
    /// The cost of `busy_us` of thread time of a device with `engine_threads` threads (0 counts as 1), exact.
    ///
    /// # Errors
    /// [`MoneyOverflow`] when the intermediate does not fit 128 bits.
    pub fn busy_cost(&self, busy_us: u64, engine_threads: u32) -> Result<Exact, MoneyOverflow> {
        self.cost(self.device_watts, busy_us, engine_threads)
    }

    /// The cost of `idle_us` of thread time in which a device with `engine_threads` threads had nothing to do, exact.
    ///
    /// # Errors
    /// As [`Self::busy_cost`].
    pub fn idle_cost(&self, idle_us: u64, engine_threads: u32) -> Result<Exact, MoneyOverflow> {
        self.cost(self.device_idle_watts, idle_us, engine_threads)
    }

    /// Whether every plausible time, and ten times its cost with a margin's four decimals, can be priced exactly: asked
    /// when a rate is configured, so that no request finds out.
    #[must_use]
    pub fn is_priceable(&self) -> bool {
        let fits = |watts, threads| {
            let cost = self.cost(watts, PRICEABLE_US, threads).and_then(|exact| exact.times_ratio(109_999, 10_000));
            cost.and_then(Exact::round_half_even).is_ok()
        };
        [self.device_watts, self.device_idle_watts]
            .into_iter()
            .all(|watts| fits(watts, 1) && fits(watts, PRICEABLE_THREADS))
    }

    fn cost(&self, watts: Decimal, thread_us: u64, engine_threads: u32) -> Result<Exact, MoneyOverflow> {
        let energy = Exact::new(1, 1000).times(watts)?.times(self.pue)?.times(self.usd_per_kwh)?;
        let usd_per_hour = Exact::new(1, 1).times(self.device_usd_per_hour)?.add(energy)?;
        // Per microsecond: 1e9 nano-dollars / 3.6e9 microseconds an hour, in lowest terms so that more fits.
        let numerator = u128::from(thread_us).checked_mul(5).ok_or(MoneyOverflow)?;
        let denominator = u128::from(engine_threads.max(1)).checked_mul(18).ok_or(MoneyOverflow)?;
        usd_per_hour.times_ratio(numerator, denominator)
    }
}
