//! Loads and validates price tables, keeps an immutable snapshot, swaps it atomically.
