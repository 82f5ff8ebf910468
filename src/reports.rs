//! Read models: usage, one request, economics. Never writes.
