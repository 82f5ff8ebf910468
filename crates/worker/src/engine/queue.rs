//! The bounded queue in front of the engine threads. A thread that has nothing to do goes first.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Waiting work.
#[derive(Debug)]
pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    news: Condvar,
    length_max: usize,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: VecDeque<T>,
    idle_threads: usize,
}

impl<T> Queue<T> {
    pub(super) const fn new(length_max: usize) -> Self {
        let inner = Inner { waiting: VecDeque::new(), idle_threads: 0 };
        Self { inner: Mutex::new(inner), news: Condvar::new(), length_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work at the end; gives it back when the queue is full.
    pub(super) fn push(&self, work: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.waiting.len() >= self.length_max {
            return Err(work);
        }
        inner.waiting.push_back(work);
        drop(inner);
        self.news.notify_one();
        Ok(())
    }

    /// Waits for work.
    pub(super) fn wait(&self) -> T {
        let mut inner = self.lock();
        inner.idle_threads += 1;
        loop {
            if let Some(work) = inner.waiting.pop_front() {
                inner.idle_threads -= 1;
                return work;
            }
            inner = self.news.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Work for a thread that has some already: only when no other thread is idle.
    pub(super) fn take_more(&self) -> Option<T> {
        let mut inner = self.lock();
        if inner.idle_threads > 0 { None } else { inner.waiting.pop_front() }
    }

    /// Takes out what need not wait any longer.
    pub(super) fn take_where(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut inner = self.lock();
        // Asked at each step, and nearly always nothing is wanted.
        if !inner.waiting.iter().any(&wanted) {
            return Vec::new();
        }
        let (taken, left): (VecDeque<T>, VecDeque<T>) =
            std::mem::take(&mut inner.waiting).into_iter().partition(wanted);
        inner.waiting = left;
        taken.into()
    }

    pub(super) fn length(&self) -> usize {
        self.lock().waiting.len()
    }
}
