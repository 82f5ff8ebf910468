//! Which of the data plane's threads this is. What each can have for itself, such as its connections to upstreams, is kept by
//! this number, so that no request waits for another processor.

use std::{cell::Cell, num::NonZero, thread};

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many threads the data plane has: one for each processor that this process may use.
#[must_use]
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The number of this thread, below [`count`]; none: it is no thread of the data plane.
#[must_use]
pub fn current() -> Option<usize> {
    CURRENT.get()
}

/// From now on this thread is the data plane's with that number.
pub fn begin(number: usize) {
    CURRENT.set(Some(number));
}
